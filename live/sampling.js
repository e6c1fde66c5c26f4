/**
 * The samplers of coldlab/sampling.py: from a degraded image back to a clean one.
 *
 * The idea that holds this file together: they differ in one line. All are generators of {r, x, x0} for every severity
 * r reached, down to 0. States are float64; R rounds what its network sees after the inverse, as in Python.
 *
 * R: (x, s) -> x0_hat. z: D's latent, or null where D has none. severities: descending to 0.
 */

/** Algorithm 1: x_r = D(R(x_s, s), r). */
export function* naive(R, D, x, z, severities) {
  for (const [s, r] of pairs(severities)) {
    const x0 = R(x, s);
    x = D.apply(x0, r, z);
    yield { r, x, x0 };
  }
}

/** Algorithm 2: x_r = x_s - D(R(x_s, s), s) + D(R(x_s, s), r). */
export function* improved(R, D, x, z, severities) {
  for (const [s, r] of pairs(severities)) {
    const x0 = R(x, s);
    x = step(D, x, x0, s, r, z);
    yield { r, x, x0 };
  }
}

/** Algorithm 2 with the running mean of the predictions, m <- m + w (R(x_s, s) - m), in the place of the newest. */
export function* averaged(R, D, x, z, severities, weight = 0.1) {
  let mean = null;
  for (const [s, r] of pairs(severities)) {
    const x0 = R(x, s);
    mean = mean === null || weight === 1 ? x0 : mean.map((m, at) => m + weight * (x0[at] - m));
    x = step(D, x, mean, s, r, z);
    yield { r, x, x0: mean };
  }
}

export const SAMPLERS = { naive, improved, averaged };

function step(D, x, x0, s, r, z) {
  const [gone, next] = [D.apply(x0, s, z), D.apply(x0, r, z)];
  return x.map((value, at) => value - gone[at] + next[at]);
}

const pairs = (severities) => severities.slice(0, -1).map((s, k) => [s, severities[k + 1]]);

/** steps + 1 severities from T down to 0, as even as whole numbers allow; halves go to the even one, as in Python. */
export function evenly(T, steps) {
  return Array.from({ length: steps + 1 }, (_, k) => {
    const exact = (T * (steps - k)) / steps;
    const down = Math.floor(exact);
    return exact - down === 0.5 ? down + (down % 2) : Math.round(exact);
  });
}
