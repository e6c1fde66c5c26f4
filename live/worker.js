/**
 * The networks at work, in a thread of their own, so that the page never freezes.
 *
 * The idea that holds this file together: a question {id, job, ...} gets any number of parts {id, part}, then an answer,
 * {id, done} or {id, error}. {cancel: id} stops a walk after the call that it is in.
 */

import { classifier } from "./classifier.js";
import { Drift, EIGHT_BITS, FLOAT32 } from "./degradations.js";
import { Mixture } from "./generation.js";
import { download, parse } from "./safetensors.js";
import { SAMPLERS, evenly } from "./sampling.js";
import { restorer } from "./unet.js";

const kept = new Map(); // address -> what was made of the file, or is being made
const cancelled = new Set();
const TEMPERATURE = 0.75; // of drawn numbers, as `python -m coldlab sample` draws them

/** What `make` makes of the file at `url`, loaded once; tell(share) hears how much of it has come. */
function once(url, make, tell) {
  if (!kept.has(url)) {
    const coming = download(url, tell).then(make);
    coming.catch(() => kept.delete(url)); // it may be asked for again
    kept.set(url, coming);
  }
  return kept.get(url);
}

const weights =
  (make) =>
  ({ base, network }, tell) =>
    once(
      `${base}${network}.safetensors`,
      (file) => make(parse(file)),
      (loaded) => tell({ loaded }),
    );
const restoring = weights(restorer);
const reading = weights(classifier);

async function mixture({ network, size }) {
  const url = new URL("mixtures.json", import.meta.url).href;
  const all = await once(url, (file) => JSON.parse(new TextDecoder().decode(file)));
  return new Mixture(all[network], size);
}

const JOBS = {
  /** Load a network before it is needed. */
  async load(asked, tell) {
    await restoring(asked, tell);
  },

  /** {x, z}: x0 at severity t, and where its hole lies. drift: add the ramp of chapter 5 in place of D. */
  async damage({ x0, t, z, drift, ...asked }, tell) {
    const { D } = await restoring(asked, tell);
    const damage = drift ? new Drift(D.size, D.T) : D;
    z ??= damage.draw();
    return { x: damage.apply(x0, t, z), z };
  },

  /**
   * Walk from x back to severity 0 by each of `runs`, [{sampler, weight, calls}], a step of each in turn; every step is
   * a part {run, r, x, x0, calls}. t: the severity that R and the sampler are told. rounded: they are told so. says:
   * what is put in the place of R, a picture or "noise". z: where the hole is; null for found. label, guidance: the
   * class that R is asked for, and how strongly.
   */
  async walk({ id, x, t, z, rounded, says, drift, label, guidance, runs, ...asked }, tell) {
    const { D, R } = await restoring(asked, tell);
    const damage = drift ? new Drift(D.size, D.T) : D;
    const known = { eps: rounded ? EIGHT_BITS : FLOAT32, z, label, guidance };
    const answer = {
      network: (state, s) => R(state, s, known),
      noise: (state) => state.map(() => 2 * Math.random() - 1),
      picture: () => says,
    }[says === "noise" ? "noise" : says ? "picture" : "network"];
    const place = damage.blind ? (z ?? damage.infer(x, t)) : null;
    if (damage.blind) tell({ place });
    const walks = runs.map(({ sampler, weight, calls }) =>
      SAMPLERS[sampler](answer, damage, x, place, evenly(t, Math.min(calls, t)), weight),
    );
    const calls = runs.map(() => 0);
    for (let going = true; going;) {
      going = false;
      for (const [run, walk] of walks.entries()) {
        const { done, value } = walk.next();
        if (done) continue;
        going = true;
        tell({ run, ...value, calls: ++calls[run] });
        await pause();
        if (cancelled.delete(id)) return { cancelled: true };
      }
    }
    return {};
  },

  /** The probabilities of the classes, for each of several images. */
  async read({ images, ...asked }, tell) {
    const net = await reading(asked, tell);
    return images.map((x) => Array.from(net(x)));
  },

  /**
   * The start that these numbers make, or those of an image, or new ones: {x, numbers}, numbers in standard units.
   * label: new ones of that class alone, or null.
   */
  async start({ numbers, x0, label = null, ...asked }) {
    const law = await mixture(asked);
    const drawn = () => law.draw({ label, temperature: TEMPERATURE });
    const own = numbers?.map((value, k) => law.middle[k] + value * law.spread[k]) ?? (x0 ? law.read(x0) : drawn());
    const standard = own.map((value, k) => (value - law.middle[k]) / law.spread[k]);
    return { x: law.write(own), numbers: standard, t: law.t };
  },

  /** What each number stands for, as pictures. */
  async patterns(asked) {
    const law = await mixture(asked);
    return Array.from({ length: law.K }, (_, k) => law.pattern(k));
  },
};

/** Let messages in. */
const pause = () => new Promise((resume) => setTimeout(resume));

self.onmessage = async ({ data: { id, job, cancel, ...asked } }) => {
  if (cancel !== undefined) {
    cancelled.add(cancel);
    return;
  }
  try {
    self.postMessage({ id, done: await JOBS[job]({ id, ...asked }, (part) => self.postMessage({ id, part })) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
