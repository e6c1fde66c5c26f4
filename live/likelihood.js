/**
 * Where a hole is, read off the damaged image, as in coldlab/degradations/likelihood.py.
 *
 * The idea that holds this file together: a hole leaves pixels near mid-grey, and how near it must leave them is known
 * for every place where it could be. So all places are tried.
 */

const TAU2 = 3e-3 ** 2; // what a pixel of an 8-bit file is wrong by, and a little more, squared

/** The likeliest centre [row, column] of the hole in x (C, n, n); canvas and left as in `Mask`. */
export function mostLikely(x, canvas, n, left) {
  return amongNeighbours(x, n, likeliest(x, canvas, n, left), left);
}

/** Every pixel is taken for N(0, s^2 F^2 + tau^2), s^2 the same for the whole image. */
export function likeliest(x, canvas, n, left) {
  const channels = x.length / (n * n);
  const energy = new Float64Array(n * n);
  x.forEach((value, at) => (energy[at % energy.length] += value * value));
  let scale = sum(energy) / energy.length / channels;
  let z = null;
  for (let round = 0; round < 2; round++) {
    const v = canvas.map((F) => Math.max(scale, TAU2) * F * F + TAU2);
    z = leastSurprising(
      v.map((value) => channels * Math.log(value)),
      v.map((value) => 1 / value),
      energy,
      n,
    );
    const F = left(z);
    const F2 = F.map((value) => value * value);
    scale = sum(energy.map((e, at) => e * F2[at])) / (channels * sum(F2.map((f) => f * f)));
  }
  return z;
}

/** The z that minimises sum_q [logs(q - z) + energy(q) inverses(q - z)], both on the canvas. */
function leastSurprising(logs, inverses, energy, n) {
  let [best, z] = [Infinity, null];
  for (let row = -1; row < n; row++) {
    for (let column = -1; column < n; column++) {
      let surprise = 0;
      for (let i = 0; i < n; i++) {
        const from = (i + n - 1 - row) * 2 * n + n - 1 - column;
        for (let j = 0; j < n; j++) surprise += logs[from + j] + energy[i * n + j] * inverses[from + j];
      }
      if (surprise < best) [best, z] = [surprise, [row, column]];
    }
  }
  return z;
}

/** The likeliest among z and its eight neighbours, with s^2 the brightness around each pixel and channel. */
function amongNeighbours(x, n, z, left) {
  const G = brightness(n);
  const anywhere = sum(x.map((value) => value * value)) / x.length;
  let [best, found] = [Infinity, null];
  for (const down of [-1, 0, 1]) {
    for (const right of [-1, 0, 1]) {
      const candidate = [z[0] + down, z[1] + right].map((p) => Math.min(n - 1, Math.max(-1, p)));
      const F2 = left(candidate).map((F) => F * F);
      const weights = smoothed(
        G,
        F2.map((f) => f * f),
        n,
      );
      let surprise = 0;
      for (let c = 0; c < x.length; c += F2.length) {
        const energy = x.slice(c, c + F2.length).map((value) => value * value);
        const around = smoothed(
          G,
          energy.map((e, at) => e * F2[at]),
          n,
        );
        for (let at = 0; at < F2.length; at++) {
          const v = ((around[at] + 1e-3 * anywhere) / (weights[at] + 1e-3)) * F2[at] + TAU2;
          surprise += Math.log(v) + energy[at] / v;
        }
      }
      if (surprise < best) [best, found] = [surprise, candidate];
    }
  }
  return found;
}

/** Weights exp(-d^2 / 2) of a pixel's neighbours up to 8 away; beyond, they are below 1e-14. */
function brightness(n) {
  const taps = Array.from({ length: 17 }, (_, j) => Math.exp(-((j - 8) ** 2) / 2));
  const rows = Array.from({ length: n }, (_, i) => sum(taps.filter((_, j) => i + j - 8 >= 0 && i + j - 8 < n)));
  const most = Math.max(...rows);
  return taps.map((tap) => tap / most);
}

function smoothed(taps, image, n) {
  const along = (source, stride, other) => {
    const out = new Float64Array(source.length);
    for (let line = 0; line < n; line++) {
      for (let i = 0; i < n; i++) {
        let total = 0;
        for (let j = Math.max(0, 8 - i); j < 17 && i + j - 8 < n; j++) {
          total += taps[j] * source[line * other + (i + j - 8) * stride];
        }
        out[line * other + i * stride] = total;
      }
    }
    return out;
  };
  return along(along(image, n, 1), 1, n);
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
