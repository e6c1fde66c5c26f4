/**
 * Pictures in and out: canvases, files, and a reader's drawing brought into the frame that a network knows.
 *
 * The idea that holds this file together: a network knows one kind of picture. MNIST's digits are scaled until their
 * longer side has 20 of 28 pixels, and lie with their centre of mass in the middle; what a reader draws must be, too.
 *
 * Ink is a Float64Array (SIDE, SIDE), from 0 (paper) to 1. Images are Float64Arrays (C, size, size) in [-1, 1].
 */

import { ColdlabError } from "./errors.js";

export const SIDE = 140; // pixels of ink a side
const LARGEST = 2048; // pixels of a picture's longer side; more only makes moving it about slow
const PEN = 0.12; // width of MNIST's strokes against the longer side of the digit

/** Show an image on a canvas, one pixel each; CSS enlarges it. */
export function show(canvas, x, size) {
  const channels = x.length / size ** 2;
  canvas.width = canvas.height = size;
  const pixels = new ImageData(size, size);
  for (let at = 0; at < size * size; at++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * at + c] = level(x[(channels === 3 ? c : 0) * size * size + at]);
    pixels.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

const level = (value) => Math.round(Math.min(1, Math.max(0, (value + 1) / 2)) * 255);

/** What an 8-bit file keeps of an image. */
export const eightBits = (x) => x.map((value) => level(value) / 127.5 - 1);

/** The root mean squared error of an image, where black to white is 1. */
export function rmse(x, x0) {
  const unit = (value) => Math.min(1, Math.max(0, (value + 1) / 2));
  return Math.sqrt(x.reduce((sum, value, at) => sum + (unit(value) - unit(x0[at])) ** 2, 0) / x.length);
}

function sheet(side) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  return canvas.getContext("2d", { willReadFrequently: true });
}

/** A file or a blob as a picture that can be drawn, its longer side at most LARGEST pixels. */
export async function opened(file) {
  try {
    const picture = await createImageBitmap(file);
    const scale = LARGEST / Math.max(picture.width, picture.height);
    if (scale >= 1) return picture;
    const [resizeWidth, resizeHeight] = [picture.width, picture.height].map((side) =>
      Math.max(1, Math.round(side * scale)),
    );
    const smaller = await createImageBitmap(picture, { resizeWidth, resizeHeight, resizeQuality: "high" });
    picture.close(); // a camera's picture is 50 MB
    return smaller;
  } catch {
    if (file.size === 0) throw new ColdlabError(`“${file.name}” is empty; save it anew, or choose another file.`);
    const told = `“${file.name ?? "This"}” is no picture that this browser can open, or too large a one`;
    throw new ColdlabError(`${told}; try a JPEG or PNG. The picture that was there is still there.`);
  }
}

/** A square of a picture, {x, y, zoom} its middle (0 to 1) and how close, as an image of size x size pixels. */
export function cut(picture, { x, y, zoom }, size, channels = 3) {
  const side = Math.min(picture.width, picture.height) / zoom;
  const within = (middle, length) => Math.min(length - side, Math.max(0, middle * length - side / 2));
  const fine = size * 8; // drawn finely, then averaged: a browser's own shrinking leaves stairs
  const context = sheet(fine);
  context.imageSmoothingEnabled = side > size; // pixels of a small picture stay squares
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // behind a transparent picture
  context.fillRect(0, 0, fine, fine);
  context.drawImage(picture, within(x, picture.width), within(y, picture.height), side, side, 0, 0, fine, fine);
  const { data } = context.getImageData(0, 0, fine, fine);
  const out = new Float64Array(channels * size * size);
  const share = channels === 3 ? null : [0.299, 0.587, 0.114]; // luma of grey images
  for (let at = 0; at < fine * fine; at++) {
    const to = Math.floor(at / fine / 8) * size + Math.floor((at % fine) / 8);
    for (let c = 0; c < 3; c++) {
      const value = data[4 * at + c] / 127.5 / 64;
      if (share) out[to] += share[c] * value;
      else out[c * size * size + to] += value;
    }
  }
  return out.map((value) => value - 1);
}

/** Strokes, [[[x, y], ...], ...] from 0 to 1, drawn on a canvas. */
export function draw(context, strokes, width) {
  const { canvas } = context;
  Object.assign(context, {
    lineWidth: width * canvas.width,
    lineCap: "round",
    lineJoin: "round",
    strokeStyle: "white",
  });
  for (const stroke of strokes) {
    context.beginPath();
    stroke.forEach(([x, y], k) => context[k ? "lineTo" : "moveTo"](x * canvas.width, y * canvas.width));
    if (stroke.length === 1) context.lineTo(stroke[0][0] * canvas.width, stroke[0][1] * canvas.width);
    context.stroke();
  }
}

/** Ink of strokes. framed: with a pen as wide as MNIST's, however large they were drawn. */
export function inkOf(strokes, framed, width) {
  const context = sheet(SIDE);
  const points = strokes.flat();
  const [low, high] = [Math.min, Math.max].map((pick) => [0, 1].map((axis) => pick(...points.map((p) => p[axis]))));
  const extent = Math.max(high[0] - low[0], high[1] - low[1], 0.05);
  const scale = 0.7 / extent;
  const moved = ([x, y]) => [0.5 + (x - (low[0] + high[0]) / 2) * scale, 0.5 + (y - (low[1] + high[1]) / 2) * scale];
  draw(context, framed ? strokes.map((stroke) => stroke.map(moved)) : strokes, framed ? 0.7 * PEN : width);
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  return Float64Array.from({ length: SIDE * SIDE }, (_, at) => data[4 * at] / 255);
}

/** Ink of a picture of writing: what differs from the paper around it, dark on light or light on dark. */
export function inkOn(picture, place) {
  const grey = cut(picture, place, SIDE, 1);
  const paper = smoothed(grey, 30);
  const edge = grey.filter((_, at) => at % SIDE < 4 || at % SIDE >= SIDE - 4);
  const dark = edge.reduce((sum, value) => sum + value, 0) / edge.length < 0; // light ink
  const ink = grey.map((value, at) => Math.max(0, dark ? value + 1 : paper[at] - value));
  const most = [...ink].sort((a, b) => a - b)[Math.floor(0.99 * ink.length)] || 1;
  return ink.map((value) => {
    const u = Math.min(1, Math.max(0, (value / most - 0.3) / 0.4));
    return u * u * (3 - 2 * u);
  });
}

/** The mean over a square of 2 radius + 1 pixels, borders repeated. */
function smoothed(image, radius) {
  const along = (source, stride, other) => {
    const out = new Float64Array(source.length);
    for (let line = 0; line < SIDE; line++) {
      for (let i = 0; i < SIDE; i++) {
        for (let j = i - radius; j <= i + radius; j++) {
          out[line * other + i * stride] += source[line * other + Math.min(SIDE - 1, Math.max(0, j)) * stride];
        }
      }
    }
    return out.map((value) => value / (2 * radius + 1));
  };
  return along(along(image, 1, SIDE), SIDE, 1);
}

/** Ink as an image of size x size. box: scale its longer side to so many pixels, its centre of mass in the middle. */
export function framed(ink, size, box = null) {
  let [scale, middle] = [size / SIDE, [SIDE / 2, SIDE / 2]];
  if (box) {
    const marked = [...ink.keys()].filter((at) => ink[at] > 0.1);
    if (!marked.length) return new Float64Array(size * size).fill(-1);
    const extent = [(at) => at % SIDE, (at) => Math.floor(at / SIDE)].map((place) => {
      const places = marked.map(place);
      return places.reduce((a, b) => Math.max(a, b)) - places.reduce((a, b) => Math.min(a, b)) + 1;
    });
    scale = box / Math.max(...extent);
    const mass = ink.reduce((sum, value) => sum + value, 0);
    middle = [(at) => at % SIDE, (at) => Math.floor(at / SIDE)].map(
      (place) => ink.reduce((sum, value, at) => sum + value * (place(at) + 0.5), 0) / mass,
    );
  }
  const FINE = 6; // points a side at which the ink under a pixel is read
  const out = new Float64Array(size * size);
  for (let at = 0; at < out.length; at++) {
    for (let point = 0; point < FINE * FINE; point++) {
      const x = middle[0] + ((at % size) + ((point % FINE) + 0.5) / FINE - size / 2) / scale;
      const y = middle[1] + (Math.floor(at / size) + (Math.floor(point / FINE) + 0.5) / FINE - size / 2) / scale;
      out[at] += between(ink, x - 0.5, y - 0.5) / FINE ** 2;
    }
  }
  return out.map((value) => 2 * Math.min(1, value) - 1);
}

/** Ink between pixels, 0 outside. */
function between(ink, x, y) {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [u, v] = [x - left, y - top];
  const read = (i, j) => (i >= 0 && i < SIDE && j >= 0 && j < SIDE ? ink[j * SIDE + i] : 0);
  return (
    (1 - v) * ((1 - u) * read(left, top) + u * read(left + 1, top)) +
    v * ((1 - u) * read(left, top + 1) + u * read(left + 1, top + 1))
  );
}
