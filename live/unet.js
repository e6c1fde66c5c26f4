/**
 * R(x_t, t): the trained network of coldlab/unet.py, from the weights as they ship.
 *
 * The idea that holds this file together: one block, used everywhere. It looks around (depthwise 7 x 7), hears the
 * severity (a shift per channel), and thinks (two 3 x 3 convolutions). Layers have the names that they have in Python.
 */

import {
  blank,
  convolve,
  corners,
  enlarge,
  filters,
  gelu,
  glasses,
  joined,
  look,
  multiply,
  normalise,
} from "./convolution.js";
import { FLOAT32, make } from "./degradations.js";
import { ColdlabError } from "./errors.js";

class Block {
  constructor(find, padding) {
    this.padding = padding;
    this.look = glasses(find("look.weight"), find("look.bias"));
    this.hear = find("hear.1.weight", null) && linear(find, "hear.1");
    this.norm = find("think.0.weight", null) && {
      weight: find("think.0.weight").data,
      bias: find("think.0.bias").data,
    };
    this.wide = filters(find("think.1.weight"), find("think.1.bias"));
    this.narrow = filters(find("think.3.weight"), find("think.3.bias"));
    this.carry = find("carry.weight", null) && filters(find("carry.weight"), find("carry.bias"));
  }

  run(map, embedding = null) {
    const { padding } = this;
    let h = look(map, this.look, padding);
    if (this.hear) {
      const heard = this.hear(gelu(embedding.slice()));
      for (let k = 0; k < h.data.length; k++) h.data[k] += heard[k % h.channels];
    }
    if (this.norm) normalise(h, this.norm.weight, this.norm.bias);
    h = convolve(h, this.wide, { padding });
    gelu(h.data);
    h = convolve(h, this.narrow, { padding });
    const carried = this.carry ? convolve(map, this.carry) : map;
    for (let k = 0; k < h.data.length; k++) h.data[k] += carried.data[k];
    return h;
  }
}

/** vector -> weight vector + bias. */
function linear(find, name) {
  const {
    shape: [outputs, inputs],
    data,
  } = find(`${name}.weight`);
  const bias = find(`${name}.bias`).data;
  return (vector) => {
    const out = new Float32Array(outputs);
    multiply(vector, data, bias, out, 1, inputs, outputs);
    return out;
  };
}

/**
 * The network alone: what it is shown (inputs, size, size) and t -> x0_hat (channels, size, size), Float32Arrays.
 *
 * label: the class that it is told, for a network with `classes`; null lets it restore whatever fits.
 */
export class UNet {
  constructor(tensors, config) {
    const known = {
      mults: [1, 1, 2],
      attention: [],
      patch: 4,
      residual: false,
      padding: "zeros",
      refine: 0,
      ...config,
    };
    if (known.attention.length) throw new ColdlabError("This network has attention, which the page cannot run yet.");
    Object.assign(this, known);
    const find = (name, otherwise) => {
      const tensor = tensors[`net.${name}`] ?? tensors[name] ?? otherwise;
      if (tensor === undefined) throw new ColdlabError(`These weights have no ${name}; load the page again.`);
      return tensor;
    };
    const block = (name) => new Block((part, otherwise) => find(`${name}.${part}`, otherwise), this.padding);
    const levels = this.mults.length;
    this.down = this.mults.map((_, i) => ({
      blocks: [block(`down.${i}.0`), block(`down.${i}.1`)],
      shrink: i < levels - 1 && filters(find(`down.${i}.3.weight`), find(`down.${i}.3.bias`)),
    }));
    this.middle = [block("middle.0"), block("middle.1")];
    this.up = this.mults.slice(1).map((_, i) => ({
      blocks: [block(`up.${i}.0`), block(`up.${i}.1`)],
      enlarge: corners(find(`up.${i}.3.weight`), find(`up.${i}.3.bias`)),
    }));
    this.last = block("last");
    this.out = filters(find("out.weight"), find("out.bias"));
    this.time = [linear(find, "time.mlp.0"), linear(find, "time.mlp.2")];
    this.label = this.classes && find("label.weight").data; // a row for each class, the last one for "any"
    this.refine = this.refine && [0, 2].map((k) => filters(find(`refine.${k}.weight`), find(`refine.${k}.bias`)));
    const multiple = this.patch * 2 ** (levels - 1);
    if (this.size % multiple) throw new ColdlabError(`The page runs networks whose size is a multiple of ${multiple}.`);
  }

  run(seen, t, label = null) {
    const e = this.embed(t, label);
    const image = channelsLast(seen, this.size);
    let h = folded(image, this.patch);
    const passed = [];
    for (const {
      blocks: [first, second],
      shrink,
    } of this.down) {
      h = second.run(first.run(h, e), e);
      passed.push(h);
      if (shrink) h = convolve(h, shrink, { stride: 2, margin: 1 });
    }
    h = this.middle[1].run(this.middle[0].run(h, e), e);
    for (const {
      blocks: [first, second],
      enlarge: parts,
    } of this.up) {
      h = enlarge(second.run(first.run(joined(h, passed.pop()), e), e), parts);
    }
    h = unfolded(convolve(this.last.run(h), this.out), this.patch);
    if (this.residual) {
      const before = image.channels - this.channels;
      for (let k = 0; k < h.data.length; k++) {
        h.data[k] += image.data[Math.floor(k / this.channels) * image.channels + before + (k % this.channels)];
      }
    }
    if (this.refine) {
      const { padding } = this;
      const wide = convolve(joined(image, h), this.refine[0], { padding });
      gelu(wide.data);
      const added = convolve(wide, this.refine[1], { padding });
      for (let k = 0; k < h.data.length; k++) h.data[k] += added.data[k];
    }
    return channelsFirst(h);
  }

  /** t as a vector: sines and cosines at width / 2 frequencies from 1 to 1/10000, then a small network; plus the label. */
  embed(t, label) {
    const half = this.width / 2;
    const phases = Float32Array.from({ length: half }, (_, k) => t * Math.fround(10 ** ((-4 * k) / (half - 1))));
    const waves = new Float32Array(this.width);
    phases.forEach((phase, k) => ((waves[k] = Math.sin(phase)), (waves[half + k] = Math.cos(phase))));
    const e = this.time[1](gelu(this.time[0](waves)));
    if (!this.label) return e;
    return e.map((value, k) => value + this.label[(label ?? this.classes) * this.width + k]);
  }
}

/** Fold patch x patch pixels into channels: the channel of pixel (i, j) of a patch is (c patch + i) patch + j. */
function folded(map, patch) {
  return rearranged(map, blank(map.height / patch, map.width / patch, map.channels * patch ** 2), patch, true);
}

function unfolded(map, patch) {
  return rearranged(map, blank(map.height * patch, map.width * patch, map.channels / patch ** 2), patch, false);
}

function rearranged(from, to, patch, folding) {
  const [pixels, patches] = folding ? [from, to] : [to, from];
  for (let at = 0; at < from.data.length; at++) {
    const c = at % pixels.channels;
    const [y, x] = [Math.floor(at / pixels.channels / pixels.width), Math.floor(at / pixels.channels) % pixels.width];
    const place = Math.floor(y / patch) * patches.width + Math.floor(x / patch);
    const channel = (c * patch + (y % patch)) * patch + (x % patch);
    const other = place * patches.channels + channel;
    if (folding) to.data[other] = from.data[at];
    else to.data[at] = from.data[other];
  }
  return to;
}

function channelsLast(data, size) {
  const channels = data.length / size ** 2;
  const map = blank(size, size, channels);
  for (let k = 0; k < data.length; k++) map.data[(k % size ** 2) * channels + Math.floor(k / size ** 2)] = data[k];
  return map;
}

function channelsFirst({ height, width, channels, data }) {
  const out = new Float32Array(data.length);
  const pixels = height * width;
  for (let k = 0; k < data.length; k++) out[(k % channels) * pixels + Math.floor(k / channels)] = data[k];
  return out;
}

/**
 * R and D of a weights file: {D, config, R}, R(x, t, {eps, z, label, guidance}) -> x0_hat in float64.
 *
 * A network with `precondition` sees D's regularised inverse beside x, and for a hole between the two how much is left,
 * F; then R = F inverse + (1 - F) net. The inverse is taken in float64, and rounded only for the network.
 * label, guidance: the class asked for, and how strongly, as in coldlab.further.asked; 0 or no label asks for none.
 */
export function restorer({ metadata, tensors }) {
  const config = JSON.parse(metadata.config);
  const D = make(config.degradation, config.size, config.options);
  const net = new UNet(tensors, config);
  const plain = (x, t, { label }) => Float64Array.from(net.run(Float32Array.from(x), t, label));
  const preconditioned = (x, t, { eps = FLOAT32, z = null, label }) => {
    const hole = D.blind ? (z ?? D.infer(x, t)) : null;
    const [inverse, left] = [D.inverse(x, t, eps, hole), D.left(t, hole)];
    const x0 = Float64Array.from(net.run(Float32Array.from([...x, ...(left ?? []), ...inverse]), t, label));
    if (!left) return x0;
    return x0.map((value, at) => {
      const F = left[at % left.length];
      return F * inverse[at] + (1 - F) * Math.min(1, Math.max(-1, value));
    });
  };
  return { config, D, R: guided(config.precondition ? preconditioned : plain) };
}

/** (1 - w) R(x, t) + w R(x, t, label), w the guidance: classifier-free guidance. */
function guided(R) {
  return (x, t, { label = null, guidance = 1, ...known } = {}) => {
    if (label === null || guidance === 0) return R(x, t, known);
    const told = R(x, t, { label, ...known });
    if (guidance === 1) return told;
    const free = R(x, t, known);
    return told.map((value, at) => value + (guidance - 1) * (value - free[at]));
  };
}
