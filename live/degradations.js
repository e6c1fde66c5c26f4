/**
 * D(x0, t, z): blur, pixelate and mask, as in coldlab/degradations/, in float64.
 *
 * The idea that holds this file together: severity costs nothing. Whatever is done t times in a row is one matrix per
 * axis, or one window of a canvas, computed in the page when it is first asked for.
 *
 * Images are Float64Arrays (C, size, size) in [-1, 1].
 */

import { ColdlabError } from "./errors.js";
import { identity, product, sandwich, svd, transposed } from "./linear.js";
import { mostLikely } from "./likelihood.js";

export const FLOAT32 = 2e-6; // the eps of `inverse`: how wrong the pixels of x_t may be, relatively
export const EIGHT_BITS = 4e-3;

/** 1 / gain where gain >> eps, falling to 0 where the error outweighs what is left. */
const regularised = (gain, eps) => gain / (gain * gain + eps * eps);
const clamp = (value) => Math.min(3, Math.max(-3, value));

/** D(x, t) = A_t x A_t^T. Subclasses give the one-step matrices as `step(i)`, i = 0..T-1. */
class Separable {
  constructor(size, T) {
    Object.assign(this, { size, T, blind: false, chain: [identity(size)], parts: new Map() });
  }

  matrix(t) {
    for (let k = this.chain.length; k <= t; k++) {
      const last = this.discrete && k === this.T; // then x_T is the mean
      this.chain.push(
        last
          ? new Float64Array(this.size ** 2).fill(1 / this.size)
          : product(this.step(k - 1), this.chain[k - 1], this.size),
      );
    }
    return this.chain[t];
  }

  apply(x0, t) {
    const A = this.matrix(t);
    return t === 0 ? x0.slice() : sandwich(A, x0, A, this.size);
  }

  /** {U, g, V} of A_t, kept. */
  decomposed(t) {
    if (!this.parts.has(t)) this.parts.set(t, svd(this.matrix(t), this.size));
    return this.parts.get(t);
  }

  inverse(x, t, eps = FLOAT32) {
    const n = this.size;
    const { U, g, V } = this.decomposed(t);
    const inner = sandwich(transposed(U, n), x, transposed(U, n), n);
    for (let k = 0; k < inner.length; k++) {
      inner[k] *= regularised(g[Math.floor(k / n) % n] * g[k % n], eps);
    }
    return sandwich(V, inner, V, n).map(clamp);
  }

  draw() {
    return null;
  }
  infer() {
    return null;
  }
  left() {
    return null;
  }
}

/** Gaussian blur, one convolution after another. */
class Blur extends Separable {
  constructor(size, { T = 20, kernel = 11, std = 7, schedule = "constant", padding = "circular", discrete = false }) {
    super(size, T);
    Object.assign(this, { kernel, std, schedule, padding, discrete });
  }

  /** The standard deviation of step i. */
  width(i) {
    const widths = {
      constant: this.std,
      incremental: this.std * (i + 1),
      exponential: Math.exp(this.std * i),
      special_6: 0.35 + i / 100,
    };
    if (!(this.schedule in widths)) throw new ColdlabError(`The page knows no blur schedule ${this.schedule}.`);
    return widths[this.schedule];
  }

  /** The band matrix of one convolution. */
  step(i) {
    const [n, half] = [this.size, Math.floor(this.kernel / 2)];
    const std = this.width(i);
    const taps = Array.from({ length: this.kernel }, (_, j) => Math.exp(-((j - half) ** 2) / (2 * std * std)));
    const total = taps.reduce((sum, tap) => sum + tap, 0);
    const matrix = new Float64Array(n * n);
    for (let row = 0; row < n; row++) {
      for (let j = 0; j < this.kernel; j++) {
        const column = this.beyond(row + j - half);
        if (column >= 0) matrix[row * n + column] += taps[j] / total;
      }
    }
    return matrix;
  }

  /** Which pixel stands at position p, also beyond the border; -1 for none. */
  beyond(p) {
    const n = this.size;
    if (this.padding === "circular") return (p + n) % n;
    if (this.padding === "reflect") return n - 1 - Math.abs(n - 1 - Math.abs(p));
    return p >= 0 && p < n ? p : -1;
  }
}

/** Resolution halved t times, each pixel copied back over its block. */
class Pixelate extends Separable {
  constructor(size, { T = 3, mode = "average" }) {
    super(size, T);
    this.mode = mode;
  }

  step(i) {
    const [n, f] = [this.size, 2 ** (i + 1)];
    const taps = this.mode === "average" ? Array(f).fill(1 / f) : [-3 / 32, 19 / 32, 19 / 32, -3 / 32];
    const matrix = new Float64Array(n * n);
    for (let row = 0; row < n; row++) {
      const first = Math.floor(row / f) * f + f / 2 - taps.length / 2;
      taps.forEach((tap, j) => (matrix[row * n + Math.min(n - 1, Math.max(0, first + j))] += tap));
    }
    return matrix;
  }
}

/**
 * A hole that grows about z = [row, column], or, centred, about the middle: x_t = x0 F_t, F_t a product of t Gaussian
 * holes.
 */
class Mask {
  constructor(size, { T = 50, kernel_std: std = 0.1, initial_mask: first = 11, centre = "random" }) {
    Object.assign(this, { size, T, std, first, canvases: [new Float64Array(4 * size * size).fill(1)] });
    this.blind = centre === "random";
    this.middle = [size / 2 - 1, size / 2 - 1].map(Math.floor);
  }

  /** F_t on a canvas of twice the size, its hole at size - 1: any hole in the image is a window of it. */
  canvas(t) {
    const n = 2 * this.size;
    for (let k = this.canvases.length; k <= t; k++) {
      const spread = 2 * (this.std * (k - 1 + this.first)) ** 2;
      this.canvases.push(
        this.canvases[k - 1].map((F, at) => {
          const d2 = (Math.floor(at / n) - this.size + 1) ** 2 + ((at % n) - this.size + 1) ** 2;
          return F * (1 - Math.exp(-d2 / spread));
        }),
      );
    }
    return this.canvases[t];
  }

  /** A centre, row and column in -1..size-1, or null where there is but one; random() is in [0, 1). */
  draw(random = Math.random) {
    return this.blind ? [0, 1].map(() => Math.floor(random() * (this.size + 1)) - 1) : null;
  }

  /** How much is left of each pixel, (size, size). */
  left(t, z) {
    const [n, canvas, middle] = [this.size, this.canvas(t), z ?? this.middle];
    return Float64Array.from({ length: n * n }, (_, at) => {
      const [row, column] = [Math.floor(at / n) + n - 1 - middle[0], (at % n) + n - 1 - middle[1]];
      return canvas[row * 2 * n + column];
    });
  }

  apply(x0, t, z) {
    const F = this.left(t, z);
    return x0.map((value, at) => value * F[at % F.length]);
  }

  inverse(x, t, eps = FLOAT32, z = this.infer(x, t)) {
    const F = this.left(t, z);
    return x.map((value, at) => clamp(value * regularised(F[at % F.length], eps)));
  }

  /** Where the hole most likely is; see `likelihood.js`. */
  infer(x, t) {
    if (!this.blind) return null;
    return mostLikely(x, this.canvas(t), this.size, (z) => this.left(t, z));
  }
}

/** x + s e, with one picture e for all, a ramp from dark to light: the damage that needs no network (chapter 5). */
export class Drift {
  constructor(size, T) {
    Object.assign(this, { size, T, blind: false });
  }

  apply(x0, t) {
    const n = this.size;
    return x0.map((value, at) => value + (t / this.T) * ((2 * (at % n)) / (n - 1) - 1));
  }

  draw() {
    return null;
  }
}

const REGISTRY = { blur: Blur, pixelate: Pixelate, mask: Mask };

/** The degradation `name` for size x size images, with the settings of a network's config. */
export function make(name, size, options = {}) {
  if (!(name in REGISTRY)) throw new ColdlabError(`The page knows no degradation ${name}.`);
  return new REGISTRY[name](size, options);
}
