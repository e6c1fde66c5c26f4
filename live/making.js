/**
 * "Make new ones": nine numbers, the start that they make, and the digit that a network sees in it.
 *
 * The idea that holds this file together: whatever moves the numbers (a draw, a picture, a slider) ends in `run`.
 */

import { ColdlabError } from "./errors.js";
import { show } from "./pictures.js";

const KEPT = 18; // pictures in the gallery
const REACH = 3; // standard deviations that a slider goes to either side

export class Making {
  /** lab: the element, whose network and picture it uses. */
  constructor(lab) {
    Object.assign(this, { lab, sliders: [], walk: null, network: null });
    const { parts } = lab;
    parts.new.onclick = () => this.run({});
    parts.mine.onclick = () => this.run({ x0: lab.pad.empty ? null : lab.x0 });
    parts.zero.onclick = () => this.run({ numbers: this.sliders.map(() => 0) });
    lab.ranged(
      "new-calls",
      (value) => (value === "1" ? "1 call" : `${value} calls`),
      () => this.again(false),
    );
  }

  /** The reader asks for another class, or for other calls: other numbers, or the same ones made once more. */
  again(drawn) {
    if (drawn) this.run({});
    else if (this.sliders.length) this.run({ numbers: this.numbers() }, false);
  }

  /** Another network: what the one before made goes, and what it is making. */
  leave() {
    const { parts } = this.lab;
    this.sliders = [];
    this.network = this.next = null;
    this.walk?.cancel();
    for (const part of ["numbers", "gallery"]) parts[part].replaceChildren();
    parts.pair.hidden = true;
    parts["new-status"].textContent = "";
  }

  numbers() {
    return this.sliders.map(({ valueAsNumber }) => valueAsNumber);
  }

  /** Sliders for the numbers of the lab's network, once. */
  async prepare() {
    const { name, settings, parts, client } = this.lab;
    if (this.network === name) return;
    this.network = name;
    const patterns = await client.ask("patterns", { network: name, size: settings.size });
    if (this.network !== name) return; // the reader has chosen another
    parts.numbers.replaceChildren();
    this.sliders = patterns.map((pattern, k) => {
      const label = document.createElement("label");
      label.innerHTML = `<canvas aria-hidden="true"></canvas>
        <span class="lab-hidden">number ${k + 1} of ${patterns.length}</span>
        <input type="range" min="${-REACH}" max="${REACH}" step="0.05" value="0"><output>0.0</output>`;
      const most = pattern.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      show(
        label.querySelector("canvas"),
        pattern.map((value) => value / most),
        settings.size,
      );
      const slider = label.querySelector("input");
      slider.oninput = () => this.run({ numbers: this.numbers() }, false, slider);
      parts.numbers.append(label);
      return slider;
    });
    parts.gallery.replaceChildren();
  }

  /** Make a picture of numbers, of an image's, or of drawn ones. keep: put it in the gallery. moved: by the reader. */
  run(asked, keep = true, moved = null) {
    this.next = { asked, keep, moved };
    this.busy ??= this.lab
      .guarded(async () => {
        while (this.next) {
          const { asked: latest, keep: kept, moved: held } = this.next;
          this.next = null;
          await this.make(latest, kept, held);
        }
      }, "new-status")
      .finally(() => (this.busy = null));
  }

  async make(asked, keep, moved) {
    const { lab } = this;
    const { parts, settings, client, name, asking } = lab;
    if (asked.x0 === null) throw new ColdlabError("Draw or pick a picture first, under “Restore”.");
    await lab.load();
    if (lab.name !== name) return;
    await this.prepare();
    if (this.network !== name) return;
    const start = await client.ask("start", { network: name, size: settings.size, label: asking.own, ...asked });
    if (lab.name !== name) return;
    start.numbers.forEach((value, k) => {
      if (this.sliders[k] !== moved) this.sliders[k].value = value; // one that is moved stays under the finger
      this.tell(k, value);
    });
    parts.pair.hidden = false;
    show(parts.start, visible(start.x), settings.size);
    let last = null;
    const run = { sampler: "averaged", weight: 0.1, calls: parts["new-calls"].valueAsNumber };
    this.walk = client.ask(
      "walk",
      { network: name, x: start.x, t: start.t, z: null, runs: [run], ...asking.told },
      ({ x }) => (last = x),
    );
    await this.walk;
    if (lab.name !== name) return;
    show(parts.made, last, settings.size);
    if (keep) this.keep(last);
    const [reading] = await client.ask("read", { network: `${settings.eyes}-classifier`, images: [last] });
    if (lab.name !== name) return;
    const best = reading.indexOf(Math.max(...reading));
    const sure = Math.round(100 * reading[best]);
    parts["new-status"].textContent =
      `Another network, which tells digits apart, reads ${best} (${sure} % sure).${asking.words}`;
    parts.made.setAttribute("aria-label", `what the network makes of it; it reads as ${best}`);
  }

  tell(k, value) {
    this.sliders[k].nextElementSibling.value = (Math.round(10 * value) / 10 + 0).toFixed(1).replace("-", "−");
  }

  keep(x) {
    const { gallery } = this.lab.parts;
    const canvas = document.createElement("canvas");
    show(canvas, x, this.lab.settings.size);
    gallery.prepend(canvas);
    while (gallery.children.length > KEPT) gallery.lastChild.remove();
  }
}

/** The faint differences of a start, stretched over all of black to white. */
function visible(x) {
  const [low, high] = [Math.min(...x), Math.max(...x)];
  return x.map((value) => (high > low ? (2 * (value - low)) / (high - low) - 1 : value));
}
