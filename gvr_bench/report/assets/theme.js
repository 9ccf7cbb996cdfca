const KEY = "gvr-bench theme";

/** What was chosen on an earlier visit; pages opened from disk may be refused a memory. */
function remembered() {
  try {
    return localStorage.getItem(KEY) || "";
  } catch {
    return "";
  }
}

function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // The choice then holds for this visit alone.
  }
}

/** Light, dark, or what the system says where it is neither. */
function show(theme) {
  if (theme === "light" || theme === "dark") {
    document.documentElement.dataset.theme = theme;
  } else {
    delete document.documentElement.dataset.theme;
  }
}

show(remembered());
document.addEventListener("DOMContentLoaded", () => {
  const choice = document.querySelector(".theme");
  const chosen = document.documentElement.dataset.theme || "";
  for (const radio of choice.querySelectorAll("input")) {
    radio.checked = radio.value === chosen;
  }
  choice.hidden = false;
  choice.addEventListener("change", (event) => {
    show(event.target.value);
    remember(event.target.value);
  });
});
