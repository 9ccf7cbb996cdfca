const REST = 200; // ms for which the pointer rests on a heading that it asks about
const DELAY = 150; // ms in which the pointer may pass from a heading to its explanation
const GAP = 6; // px between the two

const tip = document.createElement("div");
tip.id = "tip";
tip.className = "tip";
tip.setAttribute("role", "tooltip");
tip.hidden = true;
document.body.append(tip);

let owner = null; // the heading that is explained
let pinned = false; // by a tap or a click, until another one or Escape
let waiting = 0;

/** Copy what the appendix says of a metric. */
function fill(head) {
  const entry = document.getElementById(`metric-${head.dataset.metric}`);
  tip.replaceChildren(...[...entry.children].map((part) => {
    const copy = document.createElement(part.matches("dt") ? "strong" : "p");
    copy.className = part.className;
    copy.append(...[...part.cloneNode(true).childNodes]);
    return copy;
  }));
}

/** Beneath the heading, or above it where there is no room, and never outside the window. */
function place(head) {
  const at = head.getBoundingClientRect();
  const left = Math.min(at.left, document.documentElement.clientWidth - tip.offsetWidth - GAP);
  const below = at.bottom + GAP;
  const fits = below + tip.offsetHeight <= innerHeight;
  const top = fits ? below : Math.max(GAP, at.top - tip.offsetHeight - GAP);
  tip.style.left = `${Math.max(GAP, left)}px`;
  tip.style.top = `${top}px`;
}

function show(head) {
  clearTimeout(waiting);
  if (owner !== head) {
    hide();
    fill(head);
    owner = head;
    head.querySelectorAll("button").forEach((one) => one.setAttribute("aria-describedby", tip.id));
  }
  tip.hidden = false;
  place(head);
}

function hide() {
  clearTimeout(waiting);
  owner?.querySelectorAll("button").forEach((one) => {
    one.removeAttribute("aria-describedby");
    one.removeAttribute("aria-expanded");
  });
  owner = null;
  pinned = false;
  tip.hidden = true;
}

/** The pointer comes to a heading: explain it, if it stays. */
function enter(event, head) {
  clearTimeout(waiting);
  if (event.pointerType === "mouse" && !pinned) {
    waiting = setTimeout(show, owner === head ? 0 : REST, head);
  }
}

function leave() {
  clearTimeout(waiting);
  if (!pinned) {
    waiting = setTimeout(hide, DELAY);
  }
}

/** A button that explains a heading to those who cannot hover. */
function asking(head, title) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "ask";
  button.textContent = "?";
  button.setAttribute("aria-label", `What ${title} means`);
  button.addEventListener("click", () => {
    const again = pinned && owner === head;
    hide();
    if (!again) {
      show(head);
      pinned = true;
      button.setAttribute("aria-expanded", "true");
    }
  });
  return button;
}

for (const head of document.querySelectorAll("th[data-metric]")) {
  const title = head.querySelector(".title, .sort");
  if (!document.getElementById(`metric-${head.dataset.metric}`)) {
    continue;
  }
  head.removeAttribute("title");
  head.querySelector(".unit").append(" ", asking(head, title.textContent));
  head.addEventListener("pointerenter", (event) => enter(event, head));
  head.addEventListener("pointerleave", leave);
  head.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && show(head));
  head.addEventListener("focusout", ({ relatedTarget: next }) => {
    if (next && !head.contains(next)) {
      hide();
    }
  });
}
tip.addEventListener("pointerenter", () => clearTimeout(waiting));
tip.addEventListener("pointerleave", leave);
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
document.addEventListener("pointerdown", (event) => {
  if (owner && !owner.contains(event.target) && !tip.contains(event.target)) {
    hide();
  }
});
addEventListener("scroll", () => owner && place(owner), { passive: true, capture: true });
