/** Filters and sorts the cases of a gallery; see cases-pictures.js for what the scripts share. */
{
  const { make } = globalThis.gvrCases;

  const OUTCOMES = [
    ["found", "found", (explainer, i) => explainer.outcome[i] === "found"],
    ["lost", "not found", (explainer, i) => explainer.outcome[i] === "lost"],
    ["unseen", "not seen by the model", (explainer, i) => explainer.outcome[i] === "unseen"],
    ["convinced", "oracle convinced", (explainer, i) => explainer.convinced?.[i] === 1],
    ["unconvinced", "oracle not convinced", (explainer, i) => explainer.convinced?.[i] === 0],
    ["abstains", "oracle abstains", (explainer, i) => explainer.outcome[i] !== "unseen" && explainer.convinced?.[i] === null],
  ];
  const OF_CASE = [["order", "order of the run"], ["label", "label"], ["prediction", "prediction"], ["oracle", "prediction of the oracle"]];
  const MANY = matchMedia("(min-width: 48rem)");

  /** A labelled choice among `[value, words]`. */
  function choice(words, options, change) {
    const select = make("select", {}, ...options.map(([value, text]) => make("option", { value, textContent: text })));
    select.addEventListener("change", change);
    return { select, label: make("label", {}, make("span", { textContent: words }), " ", select) };
  }

  /** A labelled box to tick. */
  function tick(words, checked, change) {
    const box = make("input", { type: "checkbox", checked });
    box.addEventListener("change", () => change(box.checked));
    return make("label", { className: "tick" }, box, " ", make("bdi", { textContent: words }));
  }

  class Toolbar {
    constructor(gallery) {
      this.gallery = gallery;
      this.data = gallery.data;
      this.numbers = [...this.data.cases.name.keys()];
      this.movers = this.data.explainers.filter((explainer) => explainer.kind === "moving");
      this.outcome = "";
      this.down = false;
      this.element = make("div", { className: "toolbar", attr: { role: "group", "aria-label": "Filter and sort cases" } });
      const apply = () => this.apply();
      this.by = choice("by", this.movers.map((explainer, at) => [at, explainer.name]), apply);
      this.finding = choice("finding", [["", "all"], ...[...new Set(this.data.cases.finding ?? [])].map((name) => [name, name])], apply);
      this.search = make("input", { type: "search", placeholder: "case", attr: { "aria-label": "Search cases by name" } });
      this.search.addEventListener("input", apply);
      this.sort = choice("sort by", this.keys(), () => { this.offer(); this.apply(); });
      this.of = choice("of", [], apply);
      this.turn = make("button", { type: "button" });
      this.turn.addEventListener("click", () => { this.down = !this.down; this.apply(); });
      this.count = make("p", { className: "count", attr: { "aria-live": "polite" } });
      this.all = make("button", { type: "button", textContent: "show all", hidden: true });
      this.all.addEventListener("click", () => { this.reset(); this.search.focus(); });
      this.build();
      this.offer();
    }

    /** Puts the controls in their places; on a narrow screen most wait behind a word. */
    build() {
      const { gallery, data } = this;
      this.buttons = this.outcomes().map(([key, words, is]) => {
        const button = make("button", { type: "button" });
        button.addEventListener("click", () => { this.outcome = key; this.apply(); });
        return { key, words, is, button };
      });
      const outcomes = make("div", { className: "outcomes", attr: { role: "group", "aria-label": "Outcome" } },
        ...this.buttons.map(({ button }) => button), ...(this.movers.length > 1 ? [this.by.label] : []));
      const shown = make("details", { className: "explainers" }, make("summary", { textContent: "explainers" }),
        make("div", {}, ...data.explainers.map(({ name }) => tick(name, true, (on) => {
          gallery.hidden[on ? "delete" : "add"](name);
          gallery.hideExplainers();
        }))));
      shown.addEventListener("keydown", ({ key }) => { if (key === "Escape") shown.open = false; });
      document.addEventListener("click", ({ target }) => { if (!shown.contains(target)) shown.open = false; });
      const bare = tick("maps without the image", false, (on) => { gallery.bare = on; gallery.redraw(); });
      const more = make("details", { className: "more", open: MANY.matches }, make("summary", { textContent: "filter and sort" }),
        make("div", { className: "controls" }, this.search, ...(data.cases.finding ? [this.finding.label] : []),
          this.sort.label, this.of.label, this.turn, shown, bare));
      MANY.addEventListener("change", () => { more.open = MANY.matches; });
      this.element.append(...(this.movers.length ? [outcomes] : []), more, make("div", { className: "state" }, this.count, this.all));
    }

    /** The outcomes that can be told apart here; found and not found always. */
    outcomes() {
      const any = (test) => this.movers.some((explainer) => this.numbers.some((i) => test(explainer, i)));
      const judged = any((explainer, i) => typeof explainer.convinced?.[i] === "number");
      const always = { found: true, lost: true, convinced: judged, unconvinced: judged };
      const there = OUTCOMES.filter(([key, , is]) => always[key] ?? any(is));
      return [["", "all", () => true], ...there];
    }

    /** What cases can be sorted by. */
    keys() {
      const { cases, metrics } = this.data;
      return [...OF_CASE.filter(([key]) => key === "order" || cases[key]),
        ...(this.movers.some((explainer) => explainer.steps) ? [["steps", "steps"]] : []),
        ...Object.entries(metrics).map(([name, title]) => [`score ${name}`, title])];
    }

    /** The values of one explainer for what is sorted by, or undefined. */
    values(explainer) {
      const key = this.sort.select.value;
      return key === "steps" ? explainer.steps : explainer.scores[key.replace("score ", "")];
    }

    /** Offers the explainers that have the score that was chosen. */
    offer() {
      const before = this.of.select.value;
      const names = this.data.explainers.filter((explainer) => this.values(explainer)).map(({ name }) => name);
      this.of.select.replaceChildren(...names.map((name) => make("option", { value: name, textContent: name })));
      this.of.label.hidden = OF_CASE.some(([key]) => key === this.sort.select.value);
      if (names.includes(before)) this.of.select.value = before;
    }

    /** Takes all filters off. */
    reset() {
      this.outcome = this.search.value = this.finding.select.value = "";
      this.apply();
    }

    /** The values that cases are sorted by, their name and whose they are. */
    sorted() {
      const key = this.sort.select.value;
      if (key === "order") return { values: this.numbers, words: "" };
      if (this.of.label.hidden) return { values: this.data.cases[key], words: "" };
      const explainer = this.data.explainers.find(({ name }) => name === this.of.select.value);
      const title = key === "steps" ? "steps" : this.data.metrics[key.replace("score ", "")];
      return { values: this.values(explainer), words: `${title} of ${explainer.name}` };
    }

    /** Shows what passes the filters, in order, and says how many. */
    apply() {
      const { cases } = this.data;
      const wanted = this.search.value.trim().toLowerCase();
      const finding = this.finding.select.value;
      const explainer = this.movers[Number(this.by.select.value)];
      const some = this.numbers.filter((i) => cases.name[i].toLowerCase().includes(wanted)
        && (!finding || cases.finding[i] === finding));
      let shown = some;
      for (const { key, words, is, button } of explainer ? this.buttons : []) {
        const these = some.filter((i) => is(explainer, i));
        button.textContent = `${words} ${these.length}`;
        button.setAttribute("aria-pressed", String(key === this.outcome));
        if (key === this.outcome) shown = these;
      }
      const { values, words } = this.sorted();
      this.turn.hidden = this.sort.select.value === "order";
      const sign = this.down && !this.turn.hidden ? -1 : 1;
      const last = (i) => values[i] === null;
      shown.sort((a, b) => last(a) - last(b) || (last(a) ? 0 : sign * (values[a] - values[b])) || a - b);
      this.turn.textContent = this.down ? "highest first" : "lowest first";
      this.all.hidden = shown.length === this.numbers.length;
      this.count.textContent = `${shown.length} of ${this.numbers.length} cases`;
      if (shown.length > this.gallery.printable) {
        this.count.append(make("span", { className: "printed", textContent: `, printed with the pictures of the first ${this.gallery.printable}` }));
      }
      this.gallery.show(shown, (i) => words && `${words} ${values[i] === null ? "not known" : Number(values[i].toPrecision(3))}`);
    }
  }

  globalThis.gvrCases.toolbar = (gallery) => new Toolbar(gallery);
}
