const nav = document.querySelector(".contents");
const links = new Map([...nav.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
const sections = [...links.keys()].map((id) => document.getElementById(id));

/** Mark the link of the section that is being read, and bring it into view within the list. */
function mark(id) {
  for (const [other, link] of links) {
    if (other === id) {
      link.setAttribute("aria-current", "true");
    } else {
      link.removeAttribute("aria-current");
    }
  }
  const list = nav.querySelector("ul");
  const link = links.get(id);
  const middle = link.offsetLeft - list.offsetLeft - (list.clientWidth - link.offsetWidth) / 2;
  list.scrollTo({ left: middle });
}

/** The last section that begins in the upper third of the window or above it, or the first. */
function current() {
  const begun = sections.filter((one) => one.getBoundingClientRect().top < innerHeight / 3);
  return (begun.at(-1) || sections[0]).id;
}

// A section that was asked for stays marked until the reader goes on: the page may be too short
// to bring it to the top.
let asked = false;
for (const move of ["wheel", "touchmove", "pointerdown", "keydown"]) {
  addEventListener(move, () => (asked = false), { passive: true });
}
nav.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link) {
    asked = true;
    mark(link.hash.slice(1));
  }
});
if (sections.length) {
  // A section crosses the line whenever another one becomes the current.
  const observer = new IntersectionObserver(() => asked || mark(current()), {
    rootMargin: "0px 0px -66% 0px",
  });
  sections.forEach((one) => observer.observe(one));
}
