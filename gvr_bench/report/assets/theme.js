/** Light, dark, or what the system says; pages opened from disk may be refused a memory. */
const KEY = "gvr-bench theme";

function show(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

try {
  show(localStorage.getItem(KEY));
} catch {}

document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".theme");
  const current = document.documentElement.dataset.theme || "";
  for (const radio of form.querySelectorAll("input")) radio.checked = radio.value === current;
  form.hidden = false;
  form.addEventListener("change", ({ target }) => {
    show(target.value);
    try {
      localStorage.setItem(KEY, target.value);
    } catch {} // holds for this visit alone
  });
});
