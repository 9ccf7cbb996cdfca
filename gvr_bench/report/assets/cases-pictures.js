/**
 * Pictures of cases, drawn from sheets of grey layers. What the scripts of the cases share hangs on
 * one global, `gvrCases`: here `make`, `amount`, `openSheet` and `paint`; from cases-toolbar.js
 * `toolbar`. cases.js, which comes last, uses them.
 */

/** So far from their middle signed bytes may be by loss alone, and are taken for 0. */
const QUIET = 2;
const STEPS = 1024;

/** Makes an element with properties, attributes (`data-` and `aria-` or any in `attr`) and children. */
function make(tag, { attr = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attr)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A prediction in words: with its unit for regression (`unit` not null), else a probability. */
function amount(value, unit) {
  if (value === null) return "–";
  if (unit === null) return value.toFixed(2);
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const number = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${number} ${unit}`.trim();
}

/** The layers of one case; planes are read when first asked for. */
class Layers {
  constructor(data, sheet) {
    this.data = data;
    this.sheet = sheet;
    this.planes = new Map();
    const pad = make("canvas", { width: data.width, height: data.height });
    this.pad = pad.getContext("2d", { willReadFrequently: true });
  }

  /** The bytes of one layer. */
  plane(number) {
    if (!this.planes.has(number)) {
      const { columns, cell, width, height } = this.data;
      const x = (number % columns) * cell[0];
      const y = Math.floor(number / columns) * cell[1];
      this.pad.drawImage(this.sheet, x, y, width, height, 0, 0, width, height);
      const pixels = this.pad.getImageData(0, 0, width, height).data;
      const plane = new Uint8Array(width * height);
      for (let i = 0; i < plane.length; i += 1) plane[i] = pixels[4 * i];
      this.planes.set(number, plane);
    }
    return this.planes.get(number);
  }

  /** The channels of a picture by its name. */
  image(name) {
    const first = this.data.places[name];
    return Array.from({ length: this.data.channels }, (_, channel) => this.plane(first + channel));
  }

  /** A map by its name, from -1 to 1. */
  signed(name) {
    return this.around(this.plane(this.data.places[name]), 1);
  }

  /** Signed bytes as numbers, 127 of them being `full`. */
  around(bytes, full) {
    const quiet = this.data.exact ? 0 : QUIET;
    const numbers = new Float32Array(bytes.length);
    for (let i = 0; i < bytes.length; i += 1) {
      const signed = bytes[i] - 128;
      if (signed > quiet || signed < -quiet) numbers[i] = (signed / 127) * full;
    }
    return numbers;
  }

  /** What the reconstruction has more than one moment on the way, per channel; 0 is the start. */
  lost(way, moment) {
    const { channels, exact, places, reach } = this.data;
    return this.image("reconstruction").map((start, channel) => {
      if (moment === 0) return new Float32Array(start.length);
      const bytes = this.plane(places[`frames ${way}`] + (moment - 1) * channels + channel);
      if (!exact) return this.around(bytes, reach);
      return Float32Array.from(bytes, (byte, i) => start[i] - ((start[i] - byte) & 255));
    });
  }

  /** The picture and the change so far at `at`, a number of moments, whole or not. */
  moment(way, at) {
    const before = Math.floor(at);
    const share = at - before;
    const [from, to] = [before, share ? before + 1 : before].map((moment) => this.lost(way, moment));
    const start = this.image("reconstruction");
    const lost = from.map((plane, c) => Float32Array.from(plane, (v, i) => v + share * (to[c][i] - v)));
    const image = start.map((plane, c) => Uint8ClampedArray.from(plane, (v, i) => v - lost[c][i]));
    const scale = 127.5 * lost.length * this.data.scale;
    const change = lost[0].map((_, i) => lost.reduce((sum, plane) => sum + plane[i], 0) / scale);
    return { image, change };
  }
}

/** Decodes a sheet of base64 text. */
async function openSheet(data, text) {
  const sheet = new Image();
  sheet.src = `data:${data.type};base64,${text}`;
  await sheet.decode();
  return new Layers(data, sheet);
}

/** How strong a colour is from 0 to 1, in steps that nobody sees. */
function strengths(palette) {
  palette.strengths ??= Float32Array.from({ length: STEPS + 1 }, (_, i) => (i / STEPS) ** palette.exponent);
  return palette.strengths;
}

/** Paints an image (planes), a change (-1 to 1), or the one over the grey of the other. */
function paint(canvas, { width, height, palette }, image, change) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const out = pixels.data;
  const [red, green, blue] = image?.length === 3 ? image : [image?.[0], image?.[0], image?.[0]];
  const strong = strengths(palette);
  for (let i = 0, o = 0; i < width * height; i += 1, o += 4) {
    if (!change) {
      [out[o], out[o + 1], out[o + 2], out[o + 3]] = [red[i], green[i], blue[i], 255];
      continue;
    }
    const strength = strong[Math.round(STEPS * Math.min(1, Math.abs(change[i])))];
    const colour = change[i] < 0 ? palette.less : palette.more;
    const opacity = image ? palette.opacity * strength : 1;
    const grey = image ? (red[i] + green[i] + blue[i]) / 3 : 0;
    for (let c = 0; c < 3; c += 1) out[o + c] = grey + opacity * (colour[c] - grey);
    out[o + 3] = image ? 255 : 255 * strength;
  }
  context.putImageData(pixels, 0, 0);
}

/** Enlarges what a canvas shows and draws the outline of a mask (bytes) over it. */
function outline(canvas, { width, height, crisp, palette }, mask) {
  const times = Math.max(1, Math.round(384 / width));
  const small = make("canvas", { width, height });
  small.getContext("2d").drawImage(canvas, 0, 0);
  Object.assign(canvas, { width: width * times, height: height * times });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = !crisp;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] > 127;
  context.beginPath();
  for (let y = 0; y <= height; y += 1) {
    for (let x = 0; x <= width; x += 1) {
      if (inside(x, y) !== inside(x - 1, y)) context.moveTo(x * times, y * times), context.lineTo(x * times, (y + 1) * times);
      if (inside(x, y) !== inside(x, y - 1)) context.moveTo(x * times, y * times), context.lineTo((x + 1) * times, y * times);
    }
  }
  Object.assign(context, { lineWidth: 4, lineCap: "round", strokeStyle: `rgb(${palette.contour})` });
  context.stroke();
}

globalThis.gvrCases = { make, amount, openSheet, paint, outline };
