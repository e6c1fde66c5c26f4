/**
 * What a network is made of: convolutions, a normalisation, GELU, on maps {height, width, channels, data}.
 *
 * The idea that holds this file together: every convolution is a product of two matrices, the patches of the map (one a
 * row) and the weights (one filter a row). Channels of a pixel lie together. Numbers are stored as float32 and added up
 * in float64, which is what JavaScript computes in.
 */

/** A map without values. */
export function blank(height, width, channels) {
  return { height, width, channels, data: new Float32Array(height * width * channels) };
}

/** Which of n pixels stands at position p beyond the border, by the padding's name; -1 for zero. */
const BEYOND = {
  zeros: () => -1,
  replicate: (p, n) => (p < 0 ? 0 : n - 1),
  reflect: (p, n) => n - 1 - Math.abs(n - 1 - Math.abs(p)),
  circular: (p, n) => (p + n) % n,
};

/** The map with `margin` pixels more on every side. */
function padded(map, margin, padding) {
  if (!margin) return map;
  const { height, width, channels, data } = map;
  const out = blank(height + 2 * margin, width + 2 * margin, channels);
  const source = (p, n) => (p >= 0 && p < n ? p : BEYOND[padding](p, n));
  for (let y = 0; y < out.height; y++) {
    const row = source(y - margin, height);
    if (row < 0) continue;
    for (let x = 0; x < out.width; x++) {
      const column = source(x - margin, width);
      if (column < 0) continue;
      const from = (row * width + column) * channels;
      out.data.set(data.subarray(from, from + channels), (y * out.width + x) * channels);
    }
  }
  return out;
}

/** Filters of a tensor (out, in, side, side) as rows of (side, side, in), the order in which patches lie. */
export function filters({ shape: [count, inputs, side], data }, bias) {
  const weights = new Float32Array(data.length);
  const taps = side * side;
  for (let o = 0; o < count; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let k = 0; k < taps; k++) weights[(o * taps + k) * inputs + i] = data[(o * inputs + i) * taps + k];
    }
  }
  return { count, inputs, side, weights, bias: bias?.data ?? new Float32Array(count) };
}

/** A convolution. margin: pixels beyond the border that it sees. */
export function convolve(
  map,
  { count, inputs, side, weights, bias },
  { stride = 1, margin = (side - 1) / 2, padding = "zeros" } = {},
) {
  const wide = padded(map, margin, padding);
  const out = blank((wide.height - side) / stride + 1, (wide.width - side) / stride + 1, count);
  const length = side * side * inputs;
  const patches = side === 1 ? wide.data : new Float32Array(out.height * out.width * length);
  if (side > 1) {
    let to = 0;
    for (let y = 0; y < out.height; y++) {
      for (let x = 0; x < out.width; x++) {
        for (let i = 0; i < side; i++, to += side * inputs) {
          const from = ((y * stride + i) * wide.width + x * stride) * inputs;
          patches.set(wide.data.subarray(from, from + side * inputs), to);
        }
      }
    }
  }
  multiply(patches, weights, bias, out.data, out.height * out.width, length, count);
  return out;
}

/** Filters of a transposed convolution, (in, out, 4, 4), stride 2, margin 1: four of 2 x 2, one for each corner. */
export function corners({ shape: [inputs, count], data }, bias) {
  return [0, 1, 2, 3].map((corner) => {
    const [a, b] = [corner >> 1, corner & 1];
    const weights = new Float32Array(count * 4 * inputs);
    for (let o = 0; o < count; o++) {
      for (let k = 0; k < 4; k++) {
        const tap = (3 - a - 2 * (k >> 1)) * 4 + 3 - b - 2 * (k & 1);
        for (let i = 0; i < inputs; i++) weights[(o * 4 + k) * inputs + i] = data[(i * count + o) * 16 + tap];
      }
    }
    return { count, inputs, side: 2, weights, bias: bias.data };
  });
}

/** A transposed convolution: the map at twice its size. Each corner of a 2 x 2 block is a convolution of its own. */
export function enlarge(map, parts) {
  const { height, width } = map;
  const out = blank(2 * height, 2 * width, parts[0].count);
  parts.forEach((part, corner) => {
    const [a, b] = [corner >> 1, corner & 1];
    const seen = convolve(map, part, { margin: 1 }); // one row and column too many: the other corners' patches
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const from = ((y + a) * seen.width + x + b) * out.channels;
        const to = ((2 * y + a) * out.width + 2 * x + b) * out.channels;
        out.data.set(seen.data.subarray(from, from + out.channels), to);
      }
    }
  });
  return out;
}

/** A convolution in which each channel has a filter of its own: weights (side, side, channels), margin side // 2. */
export function look(map, { side, weights, bias }, padding) {
  const { height, width, channels } = map;
  const wide = padded(map, (side - 1) / 2, padding);
  const out = blank(height, width, channels);
  const total = new Float64Array(channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      total.set(bias);
      for (let k = 0; k < side * side; k++) {
        const from = ((y + Math.floor(k / side)) * wide.width + x + (k % side)) * channels;
        for (let c = 0; c < channels; c++) total[c] += wide.data[from + c] * weights[k * channels + c];
      }
      out.data.set(total, (y * width + x) * channels);
    }
  }
  return out;
}

/** The weights for `look` of a tensor (channels, 1, side, side). */
export function glasses({ shape: [channels, , side], data }, bias) {
  const taps = side * side;
  const weights = Float32Array.from(
    { length: data.length },
    (_, at) => data[(at % channels) * taps + Math.floor(at / channels)],
  );
  return { side, weights, bias: bias.data };
}

/** out (rows, columns) = A (rows, length) B^T + bias, B (columns, length): four rows and two columns at a time. */
export function multiply(A, B, bias, out, rows, length, columns) {
  for (let row = 0; row < rows; row += 4) {
    const [a0, a1, a2, a3] = [0, 1, 2, 3].map((k) => Math.min(row + k, rows - 1) * length);
    for (let column = 0; column < columns; column += 2) {
      const b0 = column * length;
      const b1 = Math.min(column + 1, columns - 1) * length;
      let s00 = 0,
        s10 = 0,
        s20 = 0,
        s30 = 0,
        s01 = 0,
        s11 = 0,
        s21 = 0,
        s31 = 0;
      for (let k = 0; k < length; k++) {
        const u = B[b0 + k];
        const v = B[b1 + k];
        const p = A[a0 + k];
        const q = A[a1 + k];
        const r = A[a2 + k];
        const s = A[a3 + k];
        s00 += p * u;
        s10 += q * u;
        s20 += r * u;
        s30 += s * u;
        s01 += p * v;
        s11 += q * v;
        s21 += r * v;
        s31 += s * v;
      }
      const sums = [s00, s01, s10, s11, s20, s21, s30, s31];
      for (let k = 0; k < 8; k++) {
        const [i, j] = [row + (k >> 1), column + (k & 1)];
        if (i < rows && j < columns) out[i * columns + j] = sums[k] + bias[j];
      }
    }
  }
}

/** Two maps side by side, channel after channel. */
export function joined(a, b) {
  const out = blank(a.height, a.width, a.channels + b.channels);
  for (let p = 0; p < a.height * a.width; p++) {
    out.data.set(a.data.subarray(p * a.channels, (p + 1) * a.channels), p * out.channels);
    out.data.set(b.data.subarray(p * b.channels, (p + 1) * b.channels), p * out.channels + a.channels);
  }
  return out;
}

/** Normalise the channels of each pixel, in place. */
export function normalise(map, weight, bias) {
  const { channels, data } = map;
  for (let from = 0; from < data.length; from += channels) {
    let mean = 0,
      square = 0;
    for (let c = 0; c < channels; c++) mean += data[from + c];
    mean /= channels;
    for (let c = 0; c < channels; c++) square += (data[from + c] - mean) ** 2;
    const scale = 1 / Math.sqrt(square / channels + 1e-5);
    for (let c = 0; c < channels; c++) data[from + c] = (data[from + c] - mean) * scale * weight[c] + bias[c];
  }
  return map;
}

/** GELU of every value, in place: x P(N < x), N a standard normal. */
export function gelu(data) {
  for (let k = 0; k < data.length; k++) data[k] *= normal(data[k]);
  return data;
}

/**
 * P(N < x) from a table: values and slopes at every 64th, a cubic between them (wrong by 1e-9 at most). The values are
 * sums by Simpson's rule of the density, which is the slope.
 */
const STEP = 1 / 64;
const END = 6;
const density = (x) => Math.exp(-(x * x) / 2) / Math.sqrt(2 * Math.PI);
const SLOPES = Float64Array.from({ length: 2 * END * 64 + 1 }, (_, k) => density(k * STEP - END));
const VALUES = new Float64Array(SLOPES.length);
for (let k = 1; k < VALUES.length; k++) {
  const middle = density((k - 0.5) * STEP - END);
  VALUES[k] = VALUES[k - 1] + (STEP / 6) * (SLOPES[k - 1] + 4 * middle + SLOPES[k]);
}

function normal(x) {
  if (x <= -END) return 0;
  if (x >= END) return 1;
  const place = (x + END) * 64;
  const k = Math.floor(place);
  const u = place - k;
  const v = 1 - u;
  return (
    v * v * ((1 + 2 * u) * VALUES[k] + u * STEP * SLOPES[k]) +
    u * u * ((1 + 2 * v) * VALUES[k + 1] - v * STEP * SLOPES[k + 1])
  );
}
