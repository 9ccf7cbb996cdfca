/** Draws the galleries of cases: each case when it comes near, with sliders along the way of its search. */

const { make, amount, openSheet, paint, outline, toolbar } = globalThis.gvrCases;
const NEAR = "1200px 0px";
const PRINTED = Math.ceil(24 / document.querySelectorAll(".gallery").length);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const waiting = new Set();

/** Draws a case that came near, one in each frame so that scrolling stays smooth. */
function soon(one) {
  if (!waiting.size) requestAnimationFrame(drawNext);
  waiting.add(one);
}

function drawNext() {
  const [one] = waiting;
  waiting.delete(one);
  if (one.gallery.near.has(one)) one.draw();
  if (waiting.size) requestAnimationFrame(drawNext);
}

/** A captioned picture without anything on it yet. */
function tile(data, label, caption, explainer) {
  const canvas = make("canvas", { attr: { role: "img", "aria-label": label }, width: 0, height: 0 });
  canvas.style.aspectRatio = `${data.width} / ${data.height}`;
  canvas.classList.toggle("crisp", data.crisp);
  const frame = make("div", { className: "frame" }, canvas);
  const words = make("figcaption", {}, ...[caption].flat());
  const attr = explainer === undefined ? {} : { "data-explainer": explainer };
  return { canvas, frame, words, figure: make("figure", { className: "tile", attr }, frame, words) };
}

/** One case on the page: its pictures exist from the first time it comes near. */
class Case {
  constructor(gallery, article, number) {
    Object.assign(this, { gallery, article, number, data: gallery.data });
    this.name = this.data.cases.name[number];
    Object.assign(this, { pictures: null, opening: null, layers: null, wanted: false, drawn: false });
  }

  /** Decodes the pictures, so that they can be drawn at once. */
  async open() {
    this.opening ??= openSheet(this.data, this.gallery.sheet(this.number));
    this.layers = await this.opening;
  }

  /** Shows the pictures as soon as they can be. */
  draw() {
    this.wanted = true;
    if (!this.pictures) this.build();
    if (this.layers) this.redraw();
    else this.open().then(() => this.wanted && this.redraw());
  }

  /** Paints all pictures again, as maps alone or over the image. */
  redraw() {
    if (!this.wanted || !this.layers) return;
    this.drawn = true;
    this.article.classList.add("drawn");
    for (const picture of this.pictures) picture(this.layers);
  }

  /** Gives back the memory of the pictures; their places stay. */
  release(kept) {
    this.wanted = this.drawn = false;
    this.article.classList.remove("drawn");
    if (kept) this.layers?.planes.clear();
    else this.opening = this.layers = null;
    for (const canvas of this.article.querySelectorAll("canvas")) canvas.width = canvas.height = 0;
  }

  /** Makes the places for all pictures. */
  build() {
    this.pictures = [];
    const strips = this.article.querySelector(".strips");
    const own = new Map([...strips.children].map((strip) => [strip.dataset.explainer, strip]));
    strips.prepend(this.strip("image", this.known()));
    const small = { map: [], control: [] };
    this.data.explainers.forEach((explainer, at) => {
      if (explainer.kind === "moving") this.way(own.get(explainer.name), explainer, at);
      else small[explainer.kind].push(this.attribution(explainer, at));
    });
    const rest = [["map", "attribution maps"], ["control", "controls"]].filter(([kind]) => small[kind].length);
    strips.append(make("div", { className: "others" }, ...rest.map(([kind, title]) => this.strip(title, small[kind], "small"))));
    this.gallery.hideExplainers(this.article);
    this.article.classList.add("built");
  }

  strip(title, tiles, kind = "image") {
    return make("div", { className: `strip ${kind}`, attr: { role: "group", "aria-label": title } },
      make("h5", { textContent: title }), make("div", { className: "tiles" }, ...tiles));
  }

  /** Adds a picture that `draw` paints whenever it is needed. */
  picture(label, caption, draw, explainer) {
    const made = tile(this.data, label, caption, explainer);
    this.pictures.push((layers) => draw(made, layers));
    return made.figure;
  }

  /** Input, reconstruction, and what is known to be true. */
  known() {
    const { data, name } = this;
    const { places, cases } = data;
    const plain = (of) => ({ canvas }, layers) => paint(canvas, data, layers.image(of));
    const tiles = [this.picture(`Input image ${name}`, "input", plain("input"))];
    if ("reconstruction" in places) {
      const label = `Image ${name} as the generator makes it from its latent`;
      tiles.push(this.picture(label, "reconstruction", plain("reconstruction")));
    }
    const truth = cases.truth[this.number];
    if (truth) tiles.push(this.picture(`${truth} on image ${name}`, truth, ({ canvas }, layers) => {
      const change = "change" in places ? layers.signed("change") : new Float32Array(data.width * data.height);
      paint(canvas, data, layers.image("input"), change);
      if (truth.includes("outline")) outline(canvas, data, layers.plane(places.mask));
    }));
    return tiles;
  }

  /** A map, over the input or alone as the reader has chosen. */
  attribution(explainer, at) {
    const moving = explainer.kind === "moving";
    const label = `Heat of ${explainer.name} over image ${this.name}`;
    const caption = moving ? "" : [make("bdi", { textContent: explainer.name }), ` ±${explainer.full}`];
    return this.picture(label, caption, ({ canvas, frame, words }, layers) => {
      const { bare } = this.gallery;
      frame.classList.toggle("difference", bare);
      if (moving) words.textContent = bare ? "rationale" : "rationale over the input";
      paint(canvas, this.data, bare ? null : layers.image("input"), layers.signed(`attribution ${at}`));
    }, moving ? undefined : explainer.name);
  }

  /** The strip of an explainer that makes counterfactuals, with the way it went. */
  way(strip, explainer, at) {
    const { data, name, number } = this;
    const attribution = this.attribution(explainer, at);
    const picture = tile(data, `Counterfactual of image ${name} by ${explainer.name}`, "counterfactual");
    const change = tile(data, `Reconstruction of ${name} minus its counterfactual by ${explainer.name}`, `difference, ±${explainer.full}`);
    change.frame.classList.add("difference");
    let share = 1;
    const show = () => {
      if (!this.drawn) return;
      const moment = this.layers.moment(at, share * explainer.frames);
      paint(picture.canvas, data, moment.image);
      paint(change.canvas, data, null, moment.change);
    };
    this.pictures.push(show);
    const tiles = make("div", { className: "tiles" }, attribution, picture.figure, change.figure);
    strip.querySelector("h5").after(tiles);
    const steps = explainer.steps ? explainer.steps[number] : 100;
    if (explainer.frames === 1 || steps < 1) return;
    tiles.after(slider(explainer, number, name, steps, data.unit, (now) => {
      share = now;
      const where = now === 0 ? "reconstruction" : now === 1 ? "counterfactual" : "on the way";
      picture.words.textContent = where;
      picture.canvas.setAttribute("aria-label", `Image ${name}, ${where} by ${explainer.name}`);
      show();
    }));
  }
}

/** What is told of a place on the way: the step, and what the model says there. */
function told(explainer, number, share, steps, unit) {
  const step = explainer.steps ? `step ${Math.round(share * steps)} of ${steps}` : `${Math.round(share * 100)} % of the way`;
  if (!explainer.moments) return step;
  const moments = explainer.moments[number];
  const at = share * (moments.length - 1);
  const before = Math.floor(at + 1e-6);
  const between = at - before > 1e-6;
  const [from, to] = [moments[before], moments[before + (between ? 1 : 0)]];
  if (from === null || to === null) return step;
  return `${step} · prediction ${between ? "≈ " : ""}${amount(from + (at - before) * (to - from), unit)}`;
}

/** A slider along the way, which a button plays; calls `move` with the share of the way, 0 to 1. */
function slider(explainer, number, name, steps, unit, move) {
  const line = make("span", { className: "told" });
  const range = make("input", { type: "range", min: 0, max: steps, step: 1,
    attr: { "aria-label": `${explainer.name}: step on the way to the counterfactual of ${name}` } });
  let frame = 0;
  const to = (share) => {
    const words = told(explainer, number, share, steps, unit);
    line.textContent = words;
    range.setAttribute("aria-valuetext", words);
    move(share);
  };
  const button = make("button", { type: "button", className: "play", attr: { "aria-label": `Play the way of ${explainer.name}` } });
  const stop = () => {
    cancelAnimationFrame(frame);
    button.classList.remove("playing");
  };
  const play = (begun, now) => {
    const share = Math.min(1, (now - begun) / 2400);
    range.value = Math.round(share * steps);
    to(share);
    if (share < 1) frame = requestAnimationFrame((next) => play(begun, next));
    else stop();
  };
  button.addEventListener("click", () => {
    const playing = button.classList.contains("playing");
    stop();
    if (playing) return;
    button.classList.add("playing");
    frame = requestAnimationFrame((now) => play(now, now));
  });
  range.addEventListener("input", () => {
    stop();
    to(Number(range.value) / steps);
  });
  range.value = steps;
  const words = told(explainer, number, 1, steps, unit);
  line.textContent = words;
  range.setAttribute("aria-valuetext", words);
  return make("div", { className: "way" }, ...(calm.matches ? [] : [button]), range, line);
}

/** All cases of one model. */
class Gallery {
  constructor(element) {
    this.element = element;
    this.number = element.id.split("-")[1];
    this.data = JSON.parse(element.querySelector("script[type='application/json']").textContent);
    this.bare = false;
    this.printable = PRINTED;
    this.printed = [];
    this.hidden = new Set();
    this.articles = [...element.querySelectorAll(".case")];
    this.cases = this.articles.map((article, number) => new Case(this, article, number));
    this.of = new Map(this.articles.map((article, number) => [article, this.cases[number]]));
    element.classList.add("live");
    this.toolbar = toolbar(this);
    element.prepend(this.toolbar.element);
    this.toolbar.apply();
    this.measure();
    this.near = new Set();
    const observer = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) {
        const one = this.of.get(target);
        this.near[isIntersecting ? "add" : "delete"](one);
        if (isIntersecting) soon(one);
        else if (one.wanted) one.release(this.printed.includes(one));
      }
    }, { rootMargin: NEAR });
    for (const article of this.articles) observer.observe(article);
    addEventListener("beforeprint", () => this.printed.forEach((one) => one.draw()));
    addEventListener("afterprint", () => this.printed.forEach((one) => this.near.has(one) || one.release(true)));
  }

  /** Takes all cases that are far away to be as tall as the first. */
  measure() {
    const [first] = this.cases;
    first.build();
    first.article.style.contentVisibility = "visible";
    this.element.style.setProperty("--tall", `${first.article.offsetHeight}px`);
    first.article.style.contentVisibility = "";
  }

  sheet(number) {
    return document.getElementById(`sheet-${this.number}-${number}`).textContent;
  }

  /** Hides what belongs to explainers that are not asked for. */
  hideExplainers(within = this.element) {
    for (const part of within.querySelectorAll("[data-explainer]")) {
      part.hidden = this.hidden.has(part.dataset.explainer);
    }
  }

  /** Shows the cases of these numbers, in this order, each with a note. */
  show(numbers, note) {
    const shown = new Set(numbers);
    const rest = this.articles.keys();
    const order = [...numbers, ...[...rest].filter((number) => !shown.has(number))];
    this.articles.forEach((article, number) => { article.hidden = !shown.has(number); });
    this.element.append(...order.map((number) => this.articles[number]));
    this.element.style.setProperty("--tools", `${this.toolbar.element.offsetHeight}px`);
    for (const number of numbers) this.note(number, note(number));
    if (this.element.getBoundingClientRect().top < 0) this.element.scrollIntoView(); // to the first of them
    this.printed = numbers.slice(0, PRINTED).map((number) => this.cases[number]);
    clearTimeout(this.idle);
    this.idle = setTimeout(() => this.printed.forEach((one) => one.open()), 300); // printing waits for nobody
  }

  /** Says in the header of a case by what it is sorted. */
  note(number, text) {
    const header = this.articles[number].querySelector("header");
    const old = header.querySelector(".sorted");
    if (text) (old ?? header.appendChild(make("p", { className: "sorted" }))).textContent = text;
    else old?.remove();
  }

  redraw() {
    for (const one of this.near) one.redraw();
  }

  /** Leads to the case of the address, even where a filter hides it. */
  open(id) {
    const article = this.articles.find((one) => one.id === id);
    if (!article) return;
    if (article.hidden) this.toolbar.reset();
    article.focus({ preventScroll: true });
    const until = performance.now() + 800;
    let left = false;
    for (const act of ["wheel", "touchstart", "keydown", "pointerdown"]) {
      addEventListener(act, () => { left = true; }, { once: true });
    }
    // Cases above may turn out taller than they were taken to be when they come near.
    const settle = (now) => {
      if (left) return;
      article.scrollIntoView();
      if (now < until) requestAnimationFrame(settle);
    };
    settle(performance.now());
  }
}

const galleries = [...document.querySelectorAll(".gallery")].map((element) => new Gallery(element));
const open = () => galleries.forEach((gallery) => gallery.open(decodeURIComponent(location.hash.slice(1))));
addEventListener("hashchange", open);
if (location.hash) open();
