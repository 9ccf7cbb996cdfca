/** Galleries of cases: filters, sort order and pages; sliders along a search. */

const PAGE = 10; // cases

/** A slider shows one of the frames of a search. */
function follow(slider) {
  const range = slider.querySelector("input");
  const figure = slider.parentElement.querySelector(".trajectory");
  const frames = [...figure.querySelectorAll("img")];
  function show() {
    const at = Number(range.value);
    frames.forEach((image, i) => { image.hidden = i !== at; });
    const titles = [figure.dataset.start, ...Array(frames.length - 2).fill("during the search"), "counterfactual"];
    figure.querySelector("figcaption").textContent = titles[at];
    slider.querySelector("output").textContent = frames[at].dataset.text;
    range.setAttribute("aria-valuetext", frames[at].dataset.text);
  }
  range.addEventListener("input", show);
  slider.hidden = false;
  range.value = range.max;
  show();
}

/** The cases of one model with their toolbar. */
class Gallery {
  constructor(element) {
    this.element = element;
    this.data = JSON.parse(element.querySelector("script").textContent);
    this.cases = [...element.querySelectorAll(".case")];
    this.bar = element.querySelector(".toolbar");
    this.first = 0;
    for (const name of ["outcome-filter", "by", "output", "sort", "of", "turn"]) {
      this[name] = this.bar.querySelector(`.${name}`);
      this[name]?.addEventListener("change", () => this.apply());
    }
    this.sort.addEventListener("change", () => this.offer());
    this.search = this.bar.querySelector("input");
    this.search.addEventListener("input", () => this.apply());
    this.bar.querySelector(".pager").addEventListener("click", ({ target }) => {
      if (target.value) this.show(this.first + PAGE * Number(target.value));
    });
    addEventListener("hashchange", () => this.reveal());
    this.bar.hidden = false;
    this.offer();
    this.reveal();
  }

  /** Offers the explainers that have the chosen score. */
  offer() {
    const names = Object.keys(this.data.sorts[this.sort.value] ?? { "": [] });
    this.of.replaceChildren(...names.map((name) => new Option(name, name)));
    this.of.parentElement.hidden = names[0] === "";
    this.turn.parentElement.hidden = !this.sort.value;
    this.apply();
  }

  /** Finds the cases that pass the filters, in order. */
  apply() {
    const { names, outputs, outcomes, sorts } = this.data;
    const text = this.search.value.trim().toLowerCase();
    const outcome = this["outcome-filter"]?.value;
    this.shown = [...names.keys()].filter((i) => names[i].toLowerCase().includes(text)
      && (!this.output?.value || outputs[i] === this.output.value)
      && (!outcome || outcomes[this.by.value][i].includes(outcome)));
    const values = sorts[this.sort.value]?.[this.of.value];
    const missing = (i) => values[i] === null;
    const turn = Number(this.turn.value);
    if (values) this.shown.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : turn * (values[a] - values[b])) || a - b);
    const title = [this.sort.value, this.of.value].filter(Boolean).join(" of ");
    const number = (value) => (value === null ? "not known" : Number(value.toPrecision(3)));
    this.cases.forEach((item, i) => {
      item.querySelector(".sorted").textContent = values ? `${title} ${number(values[i])}` : "";
    });
    this.show(0);
  }

  /** Shows the page that starts at a position of those cases. */
  show(first) {
    this.first = Math.max(0, Math.min(first, Math.floor((this.shown.length - 1) / PAGE) * PAGE));
    const page = this.shown.slice(this.first, this.first + PAGE);
    this.cases.forEach((item, i) => { item.hidden = !page.includes(i); });
    this.element.querySelector(".cards").append(...page.map((i) => this.cases[i]));
    const last = this.first + page.length;
    const all = this.shown.length === this.cases.length ? "" : `, of ${this.cases.length}`;
    this.bar.querySelector(".count").textContent = page.length ? `${this.first + 1} to ${last} of ${this.shown.length} cases${all}` : `0 of ${this.cases.length} cases`;
    const [previous, next] = this.bar.querySelectorAll(".pager button");
    previous.disabled = this.first === 0;
    next.disabled = last >= this.shown.length;
  }

  /** Leads to the case of the address, even where a filter or another page hides it. */
  reveal() {
    const at = this.cases.findIndex((item) => item.id === decodeURIComponent(location.hash.slice(1)));
    if (at < 0) return;
    if (!this.shown.includes(at)) {
      this.search.value = "";
      for (const select of [this.output, this["outcome-filter"]]) if (select) select.value = "";
      this.apply();
    }
    this.show(this.shown.indexOf(at));
    this.cases[at].open = true;
    this.cases[at].querySelector("summary").focus({ preventScroll: true });
    this.cases[at].scrollIntoView();
  }
}

document.querySelectorAll(".slider").forEach(follow);
document.querySelectorAll(".gallery").forEach((element) => new Gallery(element));
