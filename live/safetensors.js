/**
 * Weights, read from the very files that pip installs.
 *
 * The idea that holds this file together: a .safetensors file is a length, a header in JSON, and numbers one after the
 * other. Half precision is widened once, on reading; the network's config travels in the header.
 */

import { ColdlabError } from "./errors.js";

/** {metadata, tensors: {name: {shape, data}}} of the file's bytes; data are Float32Arrays. */
export function parse(buffer) {
  let end, header;
  try {
    end = 8 + Number(new DataView(buffer).getBigUint64(0, true));
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, end - 8)));
  } catch {
    throw new ColdlabError("These weights are no safetensors file, or were cut short; load the page again.");
  }
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = {};
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [from, to],
    },
  ] of Object.entries(entries)) {
    if (end + to > buffer.byteLength) throw new ColdlabError("These weights were cut short; load the page again.");
    const bytes = buffer.slice(end + from, end + to);
    if (dtype !== "F16" && dtype !== "F32") throw new ColdlabError(`${name} is ${dtype}; the page reads F16 and F32.`);
    tensors[name] = { shape, data: dtype === "F32" ? new Float32Array(bytes) : widened(new Uint16Array(bytes)) };
  }
  return { metadata, tensors };
}

/** Half precision as float32: every half is a float32 too, so nothing is rounded. */
function widened(halves) {
  table ??= Float32Array.from({ length: 65536 }, (_, bits) => single(bits));
  return Float32Array.from(halves, (bits) => table[bits]);
}

let table = null;

/** The value of one half: sign, five bits of exponent, ten bits of fraction. */
function single(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

/** The file at an address; told(share) hears how much of it has come. */
export async function download(url, told = () => {}) {
  const answer = await fetch(url).catch(() => ({ status: "no answer" }));
  if (!answer.ok) throw new ColdlabError(`${url.split("/").at(-1)} could not be loaded (${answer.status}); try again.`);
  const total = Number(answer.headers.get("content-length"));
  const parts = [];
  let length = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
    told(total ? Math.min(1, length / total) : 0);
  }
  const whole = new Uint8Array(length);
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole.buffer;
}
