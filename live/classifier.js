/**
 * The small classifiers of coldlab/metrics/features.py: what an image looks like, in the eyes of a trained net.
 *
 * The idea that holds this file together: five convolutions, each normalised by numbers fixed in training, which
 * therefore go into its weights.
 */

import { blank, convolve, filters, multiply } from "./convolution.js";

/** (image (C, 32, 32) in [-1, 1], clamped here) -> probabilities of the classes. */
export function classifier({ metadata, tensors }) {
  const { channels, classes } = JSON.parse(metadata.classifier);
  const layers = [0, 1, 3, 4, 6].map((k) => {
    const [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map(
      (name) => tensors[`layers.${k}.1.${name}`].data,
    );
    const gain = scale.map((value, c) => value / Math.sqrt(variance[c] + 1e-5));
    const layer = filters(tensors[`layers.${k}.0.weight`]);
    layer.weights = layer.weights.map(
      (value, at) => value * gain[Math.floor(at / (layer.weights.length / layer.count))],
    );
    layer.bias = shift.map((value, c) => value - mean[c] * gain[c]);
    return { layer, stride: layer.side === 4 ? 2 : 1, pool: k === 3 || k === 6 }; // pooled before the layer
  });
  return (x) => {
    let h = blank(32, 32, channels);
    h.data.forEach(
      (_, at) => (h.data[at] = Math.min(1, Math.max(-1, x[(at % channels) * 1024 + Math.floor(at / channels)]))),
    );
    for (const { layer, stride, pool } of layers) {
      h = convolve(pool ? pooled(h) : h, layer, { stride, margin: 1 });
      h.data.forEach((value, at) => (h.data[at] = Math.max(0, value)));
    }
    const features = new Float32Array(h.channels);
    h.data.forEach((value, at) => (features[at % h.channels] += value / (h.height * h.width)));
    const logits = new Float32Array(classes);
    multiply(features, tensors["head.weight"].data, tensors["head.bias"].data, logits, 1, h.channels, classes);
    const powers = logits.map((value) => Math.exp(value - Math.max(...logits)));
    return powers.map((value) => value / powers.reduce((sum, power) => sum + power, 0));
  };
}

/** The largest of each 2 x 2 block. */
function pooled(map) {
  const out = blank(map.height / 2, map.width / 2, map.channels);
  out.data.fill(-Infinity);
  map.data.forEach((value, at) => {
    const [c, p] = [at % map.channels, Math.floor(at / map.channels)];
    const to = (Math.floor(p / map.width / 2) * out.width + Math.floor((p % map.width) / 2)) * map.channels + c;
    out.data[to] = Math.max(out.data[to], value);
  });
  return out;
}
