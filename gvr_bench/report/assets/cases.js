/** Galleries of cases: filters, sort order, sliders along a search; and the switch between models. */

const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const PLAY_MS = 350; // per recorded moment

/** A slider shows one of the frames of a search; the button plays all of them. */
function follow(slider) {
  const range = slider.querySelector("input");
  const button = slider.querySelector("button");
  const figure = slider.parentElement.querySelector(".trajectory");
  const frames = [...figure.querySelectorAll("img")];
  const caption = figure.querySelector("figcaption");
  let timer = 0;
  function show() {
    const at = Number(range.value);
    frames.forEach((image, i) => { image.hidden = i !== at; });
    caption.textContent = ["reconstruction", ...Array(frames.length - 2).fill("during the search"), "counterfactual"][at];
    slider.querySelector("output").textContent = frames[at].dataset.text;
    range.setAttribute("aria-valuetext", frames[at].dataset.text);
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    button.classList.remove("playing");
  }
  function play() {
    if (timer) return stop();
    range.value = 0;
    show();
    button.classList.add("playing");
    timer = setInterval(() => {
      range.stepUp();
      show();
      if (range.value === range.max) stop();
    }, PLAY_MS);
  }
  range.addEventListener("input", () => { stop(); show(); });
  button.addEventListener("click", play);
  button.hidden = calm;
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
    this.buttons = [...this.bar.querySelectorAll(".outcomes button")];
    this.outcome = "";
    const { bar } = this;
    const get = (name) => bar.querySelector(name);
    [this.by, this.output, this.sort, this.of] = [".by", ".output", ".sort", ".of"].map(get);
    [this.search, this.turn, this.count, this.all] = ["[type=search]", ".turn", ".count", ".reset"].map(get);
    if (this.by) this.by.parentElement.hidden = this.by.options.length < 2;
    for (const button of this.buttons) button.addEventListener("click", () => { this.outcome = button.value; this.apply(); });
    this.search.addEventListener("input", () => this.apply());
    this.sort.addEventListener("change", () => { this.offer(); this.apply(); });
    for (const select of [this.by, this.output, this.of]) select?.addEventListener("change", () => this.apply());
    this.turn.addEventListener("click", () => { this.turn.value = -this.turn.value; this.apply(); });
    this.all.addEventListener("click", () => { this.reset(); this.search.focus(); });
    this.explainers();
    const wide = matchMedia("(min-width: 48rem)");
    const unfold = () => { get(".more").open = wide.matches; };
    wide.addEventListener("change", unfold);
    unfold();
    bar.hidden = false;
    this.offer();
    this.apply();
  }

  /** Boxes that hide all that belongs to an explainer. */
  explainers() {
    const list = this.bar.querySelector(".explainers");
    list.addEventListener("change", ({ target }) => {
      for (const part of this.element.querySelectorAll("[data-explainer]")) {
        if (part.dataset.explainer === target.value) part.hidden = !target.checked;
      }
    });
    list.addEventListener("keydown", ({ key }) => { if (key === "Escape") list.open = false; });
    document.addEventListener("click", ({ target }) => { if (!list.contains(target)) list.open = false; });
  }

  /** Offers the explainers that have the chosen score. */
  offer() {
    const names = Object.keys(this.data.sorts[this.sort.value] ?? { "": [] });
    this.of.replaceChildren(...names.map((name) => new Option(name, name)));
    this.of.parentElement.hidden = names[0] === "";
  }

  reset() {
    this.outcome = this.search.value = "";
    if (this.output) this.output.value = "";
    this.apply();
  }

  /** Shows the cases that pass the filters, in order, and says how many. */
  apply() {
    const { names, outputs, outcomes, sorts } = this.data;
    const text = this.search.value.trim().toLowerCase();
    const named = [...names.keys()].filter((i) => names[i].toLowerCase().includes(text)
      && (!this.output?.value || outputs[i] === this.output.value));
    let shown = named;
    for (const button of this.buttons) {
      const these = named.filter((i) => !button.value || outcomes[this.by.value][i].includes(button.value));
      button.textContent = `${button.dataset.title} ${these.length}`;
      button.setAttribute("aria-pressed", String(button.value === this.outcome));
      if (button.value === this.outcome) shown = these;
    }
    const values = sorts[this.sort.value]?.[this.of.value];
    this.turn.hidden = !values;
    this.turn.textContent = this.turn.value > 0 ? "lowest first" : "highest first";
    const missing = (i) => values[i] === null;
    if (values) {
      shown.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : this.turn.value * (values[a] - values[b])) || a - b);
    }
    this.show(shown, values);
  }

  show(shown, values) {
    const title = [this.sort.value, this.of.value].filter(Boolean).join(" of ");
    const number = (value) => (value === null ? "not known" : Number(value.toPrecision(3)));
    this.cases.forEach((article, i) => {
      article.hidden = !shown.includes(i);
      article.querySelector(".sorted").textContent = values ? `${title} ${number(values[i])}` : "";
    });
    this.element.append(...shown.map((i) => this.cases[i]));
    this.all.hidden = shown.length === this.cases.length;
    this.count.textContent = `${shown.length} of ${this.cases.length} cases`;
    this.element.style.setProperty("--tools", `${this.bar.offsetHeight}px`);
    if (this.element.getBoundingClientRect().top < 0) this.element.scrollIntoView();
  }

  /** Leads to the case of the address, even where a filter hides it. */
  open(id) {
    const article = this.cases.find((item) => item.id === id);
    if (!article) return;
    if (article.hidden) this.reset();
    article.focus({ preventScroll: true });
    article.scrollIntoView();
  }
}

/** Shows one model's table of maps at a time. */
function switchModels(label) {
  const models = [...document.querySelectorAll(".models .model")];
  const select = label.querySelector("select");
  select.append(...models.map((model, i) => new Option(model.dataset.title, i)));
  const show = () => models.forEach((model, i) => { model.hidden = i !== Number(select.value); });
  select.addEventListener("change", show);
  label.hidden = false;
  show();
}

document.querySelectorAll(".slider").forEach(follow);
document.querySelectorAll(".model-switch").forEach(switchModels);
const galleries = [...document.querySelectorAll(".gallery")].map((element) => new Gallery(element));
const open = () => galleries.forEach((gallery) => gallery.open(decodeURIComponent(location.hash.slice(1))));
addEventListener("hashchange", open);
if (location.hash) open();
