/**
 * The square in which a reader draws a digit, or moves a photograph about.
 *
 * The idea that holds this file together: what is in the square is either strokes, ink, or a picture and a place in it;
 * `image` makes of each what the network is asked about. A new stroke on anything but strokes begins a new drawing.
 */

import { cut, draw, framed, inkOf, inkOn } from "./pictures.js";

const PEN = 0.08; // of the square's side
const VIEW = 280; // pixels of the square's canvas
const KEPT = "coldlab-drawing"; // where this tab keeps a reader's strokes from page to page

/** The strokes that were drawn last in this tab; none where the browser keeps nothing. */
function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}

function keep(strokes) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(strokes));
  } catch {
    // a browser that keeps nothing: then a drawing ends with its page
  }
}

export class Pad extends EventTarget {
  /** canvas: the square. Tells "change" when there is something new, and "key" for a digit that was typed. */
  constructor(canvas) {
    super();
    canvas.width = canvas.height = VIEW;
    Object.assign(this, { canvas, strokes: [], ink: null, picture: null, place: null, given: null, drawing: true });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.up(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** Whether there is anything in the square. */
  get empty() {
    return !this.strokes.length && !this.ink && !this.picture;
  }

  clear(tell = true) {
    Object.assign(this, { strokes: [], ink: null, picture: null, given: null });
    this.paint();
    if (tell) this.tell();
  }

  /** The reader wants an empty square, here and on the next page. */
  wipe() {
    keep([]);
    this.clear();
  }

  /** Take a picture; writing: as ink. plain: ink that is white on black already. */
  take(picture, { writing, plain = false }) {
    this.clear(false);
    const whole = { x: 0.5, y: 0.5, zoom: 1 };
    if (writing) this.ink = plain ? cut(picture, whole, 140, 1).map((value) => (value + 1) / 2) : inkOn(picture, whole);
    else Object.assign(this, { picture, place: whole });
    if (!plain) this.given = picture;
    this.paint();
    this.tell();
  }

  /** Take the reader's own picture once more, as the other kind; false if there is none. */
  retake(writing) {
    if (!this.given) return false;
    this.take(this.given, { writing });
    return true;
  }

  /** Draw once more what the reader drew on the page before; false if there was nothing. */
  redraw() {
    const strokes = kept();
    if (!strokes.length) return false;
    this.clear(false);
    this.strokes = strokes;
    this.paint();
    this.tell();
    return true;
  }

  zoom(zoom) {
    if (!this.picture) return;
    this.place.zoom = zoom;
    this.paint();
    this.tell();
  }

  /** What the network is asked about: (channels, size, size) in [-1, 1]. box: as in `framed`, or null. */
  image(size, box) {
    if (this.picture) return cut(this.picture, this.place, size);
    const ink = this.ink ?? (this.strokes.length ? inkOf(this.strokes, Boolean(box), PEN) : null);
    return ink ? framed(ink, size, box) : new Float64Array(size * size).fill(-1);
  }

  paint() {
    const context = this.canvas.getContext("2d");
    context.fillStyle = "black";
    context.fillRect(0, 0, VIEW, VIEW);
    if (this.picture) this.put(context, cut(this.picture, this.place, VIEW / 2), VIEW / 2, 3);
    if (this.ink)
      this.put(
        context,
        this.ink.map((value) => 2 * value - 1),
        140,
        1,
      );
    draw(context, this.strokes, PEN);
  }

  put(context, x, size, channels) {
    const pixels = new ImageData(size, size);
    for (let at = 0; at < size * size; at++) {
      for (let c = 0; c < 3; c++)
        pixels.data[4 * at + c] = (x[(channels === 3 ? c : 0) * size * size + at] + 1) * 127.5;
      pixels.data[4 * at + 3] = 255;
    }
    const between = Object.assign(document.createElement("canvas"), { width: size, height: size });
    between.getContext("2d").putImageData(pixels, 0, 0);
    context.drawImage(between, 0, 0, VIEW, VIEW);
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  down(event) {
    if (event.button || this.last) return; // a second finger, or a palm
    event.preventDefault();
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    this.last = this.at(event);
    this.finger = event.pointerId;
    if (!this.drawing) return;
    if (!this.strokes.length) this.clear(false);
    this.strokes.push([this.last]);
    this.paint();
  }

  move(event) {
    if (!this.last || event.pointerId !== this.finger) return;
    const [x, y] = this.at(event);
    if (this.drawing) this.strokes.at(-1).push([x, y]);
    else this.pan(this.last[0] - x, this.last[1] - y, false);
    this.last = [x, y];
    this.paint();
  }

  up(event) {
    if (!this.last || event.pointerId !== this.finger) return;
    this.last = null;
    if (this.drawing) keep(this.strokes);
    this.tell();
  }

  /** Move the cut by shares of its own side. */
  pan(right, down, tell = true) {
    if (!this.picture) return;
    const { width, height } = this.picture;
    const side = Math.min(width, height) / this.place.zoom;
    const kept = (middle, length) => Math.min(1 - side / length / 2, Math.max(side / length / 2, middle));
    this.place.x = kept(this.place.x + (right * side) / width, width);
    this.place.y = kept(this.place.y + (down * side) / height, height);
    if (tell) (this.paint(), this.tell());
  }

  key(event) {
    const arrows = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05] };
    if (this.picture && event.key in arrows) this.pan(...arrows[event.key]);
    else if (this.drawing && /^[0-9]$/.test(event.key))
      this.dispatchEvent(new CustomEvent("key", { detail: Number(event.key) }));
    else return;
    event.preventDefault();
  }
}
