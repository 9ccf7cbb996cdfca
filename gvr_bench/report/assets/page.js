/** Opens what an address leads to, even where it is folded. */
function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let item = target.closest("details"); item; item = item.parentElement.closest("details")) item.open = true;
  target.scrollIntoView();
}

addEventListener("hashchange", open);
document.querySelector(".contents").addEventListener("click", ({ target }) => {
  if (target.closest("a")?.hash === location.hash) open(); // no change of the address, no event
});
if (location.hash) open();
