/**
 * New images: a Gaussian mixture over the few numbers that a blur leaves, as coldlab.live.portable writes it.
 *
 * The idea that holds this file together: one x_T gives one image, so all variety comes from x_T, and x_T is as varied
 * as the numbers that survive. K of them, strongest first: the mean, then slow waves.
 */

export class Mixture {
  constructor(values, size) {
    Object.assign(this, values, { size, K: values.gains.length });
    // Mean and standard deviation of every number over the whole mixture: the unit of the sliders.
    this.middle = this.average((j, k) => this.means[j][k]);
    this.spread = this.average((j, k) => (this.means[j][k] - this.middle[k]) ** 2 + this.variance(j, k)).map(Math.sqrt);
  }

  average(value) {
    const total = this.weights.reduce((sum, weight) => sum + weight, 0);
    return Array.from({ length: this.K }, (_, k) =>
      this.weights.reduce((sum, weight, j) => sum + (weight / total) * value(j, k), 0),
    );
  }

  /** Row k of factor j begins after 1 + 2 + ... + k entries. */
  variance(j, k) {
    const from = (k * (k + 1)) / 2;
    return this.factors[j].slice(from, from + k + 1).reduce((sum, entry) => sum + entry ** 2, 0);
  }

  /**
   * K numbers; random() is uniform in [0, 1). label: from the Gaussians of that class alone, if they have classes.
   * temperature: how far from the middle of its Gaussian, as in coldlab.generation.
   */
  draw({ label = null, temperature = 1, random = Math.random } = {}) {
    const weights = this.weights.map((weight, j) => (label === null || this.classes[j] === label ? weight : 0));
    let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
    const drawn = weights.findIndex((weight) => (left -= weight) < 0);
    const j = drawn < 0 ? weights.findLastIndex((weight) => weight > 0) : drawn; // where rounding left a trace
    return this.from(
      j,
      Array.from({ length: this.K }, () => temperature * normal(random)),
    );
  }

  /** means_j + factor_j normals. */
  from(j, normals) {
    return this.means[j].map((mean, k) => {
      const from = (k * (k + 1)) / 2;
      return normals.slice(0, k + 1).reduce((sum, value, i) => sum + this.factors[j][from + i] * value, mean);
    });
  }

  /** The x_t (size, size) that an image with these numbers has. */
  write(numbers) {
    return this.sum(
      this.left,
      numbers.map((value, k) => value * this.gains[k]),
    );
  }

  /** The numbers of an image (size, size). */
  read(x0) {
    return this.rows.map((row, k) => {
      let total = 0;
      for (let y = 0; y < this.size; y++) {
        for (let x = 0; x < this.size; x++) {
          total += x0[y * this.size + x] * this.right[y][row] * this.right[x][this.columns[k]];
        }
      }
      return total;
    });
  }

  /** The picture that number k stands for. */
  pattern(k) {
    return this.sum(
      this.right,
      Array.from({ length: this.K }, (_, other) => (other === k ? 1 : 0)),
    );
  }

  sum(directions, amounts) {
    const out = new Float64Array(this.size ** 2);
    amounts.forEach((amount, k) => {
      if (amount === 0) return;
      for (let at = 0; at < out.length; at++) {
        const [y, x] = [Math.floor(at / this.size), at % this.size];
        out[at] += amount * directions[y][this.rows[k]] * directions[x][this.columns[k]];
      }
    });
    return out;
  }
}

/** One draw from a standard normal (Box and Muller). */
function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
