/** Marks the section that is being read in the navigation. */

const nav = document.querySelector(".contents");
const links = [...nav.querySelectorAll("a")];
const sections = links.map((link) => document.querySelector(link.hash));

function mark(link) {
  links.forEach((other) => other.toggleAttribute("aria-current", other === link));
  link.setAttribute("aria-current", "true");
  const list = nav.querySelector("ul");
  list.scrollTo({ left: link.offsetLeft - list.offsetLeft - (list.clientWidth - link.offsetWidth) / 2 });
}

// A chosen section stays marked until the reader moves on: the page may be too short for it.
let chosen = false;
for (const move of ["wheel", "touchmove", "pointerdown", "keydown"]) {
  addEventListener(move, () => { chosen = false; }, { passive: true });
}
nav.addEventListener("click", ({ target }) => {
  const link = target.closest("a");
  if (!link) return;
  chosen = true;
  mark(link);
});
if (sections.length) {
  // The last section that begins in the upper third of the window is the current one.
  const observer = new IntersectionObserver(() => {
    const at = sections.findLastIndex((part) => part.getBoundingClientRect().top < innerHeight / 3);
    if (!chosen) mark(links[Math.max(0, at)]);
  }, { rootMargin: "0px 0px -66% 0px" });
  sections.forEach((part) => observer.observe(part));
}
