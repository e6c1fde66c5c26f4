/**
 * Square matrices in float64, row after row in a Float64Array: products and the singular value decomposition.
 *
 * The idea that holds this file together: images have 32 or 64 pixels a side, so the plain loops are fast enough.
 */

export const identity = (n) => Float64Array.from({ length: n * n }, (_, k) => (k % (n + 1) === 0 ? 1 : 0));

/** A B. */
export function product(A, B, n) {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < n; k++) {
      const a = A[i * n + k];
      if (a === 0) continue;
      for (let j = 0; j < n; j++) out[i * n + j] += a * B[k * n + j];
    }
  }
  return out;
}

export function transposed(A, n) {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[j * n + i] = A[i * n + j];
  return out;
}

/** A x B^T for each channel of an image x (C, n, n). */
export function sandwich(A, x, B, n) {
  const out = new Float64Array(x.length);
  const right = transposed(B, n);
  for (let c = 0; c < x.length; c += n * n) {
    out.set(product(product(A, x.subarray(c, c + n * n), n), right, n), c);
  }
  return out;
}

/**
 * {U, g, V}: A = U diag(g) V^T, g descending, by Jacobi's rotations from one side: pairs of columns of A are turned
 * until all are at right angles; their lengths are then the singular values, and V is all the turns together.
 */
export function svd(A, n) {
  const W = transposed(A, n); // columns as rows, so that they lie together
  const V = identity(n);
  for (let sweep = 0, turned = true; turned && sweep < 60; sweep++) {
    turned = false;
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) turned = turn(W, V, p * n, q * n, n) || turned;
    }
  }
  const lengths = Array.from({ length: n }, (_, k) => Math.hypot(...W.subarray(k * n, k * n + n)));
  const order = lengths.map((_, k) => k).sort((a, b) => lengths[b] - lengths[a]);
  const [U, right, g] = [new Float64Array(n * n), new Float64Array(n * n), new Float64Array(n)];
  order.forEach((k, to) => {
    g[to] = lengths[k];
    for (let i = 0; i < n; i++) {
      U[i * n + to] = g[to] > 0 ? W[k * n + i] / g[to] : 0;
      right[i * n + to] = V[k * n + i];
    }
  });
  return { U, g, V: right };
}

/** Turn rows at p and q of W (and of V) into a right angle; whether they were not at one already. */
function turn(W, V, p, q, n) {
  let a = 0,
    b = 0,
    dot = 0;
  for (let i = 0; i < n; i++) {
    const [u, v] = [W[p + i], W[q + i]];
    ((a += u * u), (b += v * v), (dot += u * v));
  }
  if (Math.abs(dot) <= 1e-15 * Math.sqrt(a * b)) return false;
  const half = (b - a) / (2 * dot);
  const tangent = Math.sign(half || 1) / (Math.abs(half) + Math.hypot(1, half));
  const cosine = 1 / Math.hypot(1, tangent);
  const sine = cosine * tangent;
  for (const rows of [W, V]) {
    for (let i = 0; i < n; i++) {
      const [u, v] = [rows[p + i], rows[q + i]];
      rows[p + i] = cosine * u - sine * v;
      rows[q + i] = sine * u + cosine * v;
    }
  }
  return true;
}
