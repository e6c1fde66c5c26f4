/**
 * <cold-lab>: draw or upload a picture, damage it, and watch the trained network restore it.
 *
 * The idea that holds this file together: the reader's settings are read from the controls when they are needed; kept
 * beside them are the picture x0, its hole z and the damaged x. `walking.js` has the way back, `making.js` new digits.
 *
 * Attributes: compact (one network, no upload, no modes), with (what a compact one has all the same, such as
 * "samplers calls chart"; the names are the data-full of template.js), mode (restore, make or break, to begin with),
 * samplers (the two to begin with), network (a name in networks.js), weights (their folder, by default ../weights/
 * beside this one). Nothing but code and pictures is loaded before the reader touches it.
 */

import { Asking } from "./asking.js";
import { pickable, pictures, styled } from "./beginning.js";
import { Client } from "./client.js";
import { ColdlabError } from "./errors.js";
import { Making } from "./making.js";
import { CALLS, NETWORKS } from "./networks.js";
import { Pad } from "./pad.js";
import { eightBits, opened, show } from "./pictures.js";
import { MEANING, QUESTIONS, SAMPLERS, template } from "./template.js";
import { Walking } from "./walking.js";

let labs = 0;

class ColdLab extends HTMLElement {
  async connectedCallback() {
    if (this.parts) return;
    this.parts = {};
    this.compact = this.hasAttribute("compact");
    await styled();
    this.build();
  }

  build() {
    this.name = this.getAttribute("network") ?? "mnist-blur";
    this.extras = (this.getAttribute("with") ?? "").split(" ");
    const [left, right] = (this.getAttribute("samplers") ?? (this.compact ? "naive averaged" : "naive improved")).split(
      " ",
    );
    this.innerHTML = template(++labs, this.name, left, right);
    const mode = this.querySelector(`input[name^="mode-"][value="${this.getAttribute("mode")}"]`);
    if (mode) mode.checked = true;
    this.classList.add("lab-ready");
    for (const part of this.querySelectorAll("[data-part]")) this.parts[part.dataset.part] = part;
    this.client = new Client(new URL(this.getAttribute("weights") ?? "../weights/", import.meta.url).href);
    const { parts } = this;
    this.pad = new Pad(parts.pad);
    this.pad.addEventListener("change", () => this.renew());
    this.pad.addEventListener("key", ({ detail }) => this.pick(detail));
    const touched = () => this.guarded(() => this.load());
    for (const kind of ["pointerdown", "keydown", "drop"]) this.addEventListener(kind, touched, { once: true });
    parts.network.onchange = () => {
      this.left = null; // the reader's choice stays
      this.choose(parts.network.value);
    };
    parts.clear.onclick = () => this.pad.wipe();
    parts.file.onchange = () => this.guarded(() => this.upload(parts.file.files[0]), "picture-status");
    this.ondragover = (event) => event.preventDefault(); // or the browser leaves the page for the dropped file
    this.ondrop = (event) => {
      event.preventDefault();
      this.guarded(() => this.upload(event.dataTransfer.files[0]), "picture-status");
    };
    parts.framed.onchange = () => this.renew();
    parts.photograph.onclick = () => this.change("cifar10-blur");
    parts.clean.onclick = (event) => this.place(event);
    parts.clean.onkeydown = (event) => this.shift(event);
    parts.go.onclick = (event) => {
      if (event.detail > 1) return; // of a double click the first counts
      this.guarded(() => (this.walking.going ? this.walking.end("Stopped.") : this.walking.run()));
    };
    this.ranged(
      "zoom",
      (value) => `${Number(value).toFixed(1)} ×`,
      () => this.pad.zoom(parts.zoom.valueAsNumber),
    );
    this.ranged(
      "severity",
      (value) => `${value} of ${this.settings.T}`,
      () => this.harder(),
    );
    this.ranged(
      "wrong",
      (value) => `${value} (it is ${parts.severity.value})`,
      () => this.outdate(),
    );
    this.ranged(
      "calls",
      (value) => this.callsTold(value),
      () => this.outdate(),
    );
    this.ranged(
      "weight",
      (value) => Number(value).toFixed(2),
      () => this.outdate(),
    );
    this.ranged(
      "step",
      (value) => `${value} of ${parts.step.max}`,
      () => this.walking.look(parts.step.valueAsNumber, true),
    );
    for (const run of [0, 1]) parts[`sampler-${run}`].onchange = () => this.arrange();
    for (const radio of this.querySelectorAll("input[type=radio]")) radio.onchange = () => this.arrange();
    for (const control of ["says", "drift", "told"]) parts[control].onchange = () => this.arrange();
    this.walking = new Walking(this);
    this.making = new Making(this);
    this.asking = new Asking(this, (drawn) => (this.mode === "make" ? this.making.again(drawn) : this.arrange()));
    this.guarded(() => this.choose(this.name));
  }

  get settings() {
    return NETWORKS[this.name];
  }
  get mode() {
    return this.chosen("mode") ?? "restore";
  }
  get way() {
    return this.mode === "break" ? this.chosen("way") : "restore";
  }
  get drifts() {
    return this.way === "nonsense" && this.parts.drift.value !== "";
  }

  /** A walk takes each severity once: no more calls than t. */
  get most() {
    const { severity, wrong } = this.parts;
    return (this.way === "severity" ? wrong : severity).valueAsNumber;
  }
  callsTold(value) {
    return Number(value) > this.most ? `${this.most} (not more than t)` : value;
  }

  /** Whether this lab has a part that compact ones have only if asked. */
  has(part) {
    return !this.compact || this.extras.includes(part);
  }

  chosen(group) {
    return this.querySelector(`input[name^="${group}-"]:checked`)?.value;
  }

  /** A slider that writes its value beside it. */
  ranged(name, words, then = () => {}) {
    const slider = this.parts[name];
    slider.oninput = () => {
      this.parts[`${name}-told`].value = words(slider.value);
      then();
    };
    this.parts[`${name}-told`].value = words(slider.value);
  }

  /** Set a slider without moving anything else. */
  set(name, values) {
    Object.assign(this.parts[name], values);
    const { value, max } = this.parts[name];
    const words = {
      severity: `${value} of ${max}`,
      wrong: `${value} (it is ${this.parts.severity.value})`,
      step: `${value} of ${max}`,
      zoom: `${Number(value).toFixed(1)} ×`,
      calls: this.callsTold(value),
    };
    this.parts[`${name}-told`].value = words[name] ?? value;
  }

  /** Run what may fail, and tell the reader why it did. */
  async guarded(work, where = "status") {
    try {
      return await work();
    } catch (error) {
      this.parts[where].textContent =
        error instanceof ColdlabError ? error.message : `Something went wrong: ${error.message}`;
      this.parts.progress.hidden = this.parts["new-progress"].hidden = true;
    }
  }

  /** Another network, and the pictures to pick from. */
  async choose(name) {
    const before = this.settings.kind;
    this.name = name;
    const { parts, settings } = this;
    const { T, kind } = settings;
    this.set("severity", { max: T, value: T });
    this.set("wrong", { max: T, value: Math.ceil(T / 2) });
    this.set("calls", { max: T, value: Math.min(T, CALLS) });
    this.pad.drawing = kind === "digit";
    this.x0 = this.z = null;
    if (kind !== before) {
      this.set("zoom", { value: 1 });
      if (!this.pad.retake(kind === "digit")) this.pad.clear(false);
    }
    this.unseen("what is left of it"); // the other network's damage goes
    this.making?.leave();
    this.notice();
    this.arrange();
    if (!this.pad.empty) this.renew();
    this.picks = [];
    const found = await pictures(kind).catch(() => null);
    if (this.name !== name) return; // the reader was faster
    if (!found) {
      parts["picture-status"].textContent = "The pictures to pick from could not be loaded. Draw or upload one.";
      return;
    }
    this.picks = found;
    parts.picks.replaceChildren(...found.map((picture, k) => pickable(picture, () => this.pick(k))));
    if (this.pad.empty && !(kind === "digit" && this.pad.redraw())) this.pick(kind === "digit" ? 3 : 0);
  }

  pick(k) {
    if (!this.picks[k]) return;
    this.set("zoom", { value: 1 });
    this.pad.take(this.picks[k].picture, { writing: this.settings.kind === "digit", plain: true });
  }

  async upload(file) {
    if (!file) return;
    const { parts } = this;
    const picture = await opened(file).finally(() => (parts.file.value = "")); // the same file may come again
    const writing = this.settings.kind === "digit";
    this.set("zoom", { value: 1 });
    this.pad.take(picture, { writing });
  }

  /** Say how a network of digits takes a reader's own picture, and offer the other way. */
  notice() {
    const writing = Boolean(this.pad.given && this.settings.kind === "digit");
    const either = writing && this.has("network");
    this.parts["picture-status"].textContent = [
      writing ? "Taken as handwriting: what is darker or lighter than its paper." : "",
      either ? "Is it a photograph? It stays where it is, and a network of photographs takes it." : "",
    ].join(" ");
    this.parts.photograph.hidden = !either;
  }

  /** Show the controls that have something to do. */
  arrange() {
    const { parts, mode, way, settings } = this;
    for (const part of this.querySelectorAll("[data-full]")) part.hidden = !this.has(part.dataset.full);
    for (const part of this.querySelectorAll("[data-modes]"))
      part.hidden = !part.dataset.modes.split(" ").includes(mode);
    for (const part of this.querySelectorAll("[data-ways]")) part.hidden = part.dataset.ways !== way;
    const digit = settings.kind === "digit";
    parts.hint.textContent = digit
      ? "Draw a digit with finger, pen or mouse; pick one; or press a key from 0 to 9."
      : "Pick one or upload yours; drag it, or use the arrow keys, to cut.";
    parts.pad.setAttribute(
      "aria-label",
      digit
        ? "Drawing area. Press a key from 0 to 9 to have that digit written."
        : "The picture. The arrow keys move the cut.",
    );
    const { T } = settings;
    const between = Math.ceil(0.6 * T); // so that too little and too much can both be told
    if (way === "severity" && this.came !== way) {
      this.lowered = parts.severity.valueAsNumber === T;
      if (this.lowered) this.set("severity", { value: between });
      this.set("wrong", {});
    }
    if (this.came === "severity" && way !== "severity" && this.lowered && parts.severity.valueAsNumber === between)
      this.set("severity", { value: T });
    this.came = way;
    parts["framed-row"].hidden = !digit || !this.has("framed");
    parts["zoom-row"].hidden = digit;
    parts["upload-told"].textContent = digit ? "Upload a photo of a digit" : "Upload a photograph";
    parts.clear.hidden = !digit;
    this.asking.arrange();
    parts.question.innerHTML = QUESTIONS[way];
    const samplers = this.samplers();
    samplers.forEach((sampler, run) => (parts[`name-${run}`].textContent = SAMPLERS[sampler]));
    const weight = this.has("weight") ? "w" : `w = ${parts.weight.value}`;
    const meaning = (name) => `${SAMPLERS[name]} ${MEANING[name].replace("weight w", `weight ${weight}`)}`;
    parts.meaning.textContent = [...new Set(samplers)].map(meaning).join(" ");
    parts["weight-row"].hidden = !samplers.includes("averaged") || !this.has("weight");
    this.maker();
    for (const option of parts.network.options) option.disabled = mode === "make" && !NETWORKS[option.value].made;
    this.harder();
  }

  /** New ones are made by networks of digits: in another's place the first of them, until that mode is left. */
  maker() {
    const { parts, settings, name, left } = this;
    if (this.mode !== "make") {
      this.left = null;
      if (left) this.change(left);
    } else if (!settings.made) {
      this.left = name;
      this.change("mnist-blur");
      parts["new-status"].textContent =
        `“${settings.title}” makes no new ones. “${this.settings.title}” does, and is taken instead.`;
    }
  }

  /** Another network that the reader has not chosen by hand. */
  change(name) {
    this.parts.network.value = name;
    this.guarded(() => this.choose(name));
  }

  /** What the button does: it begins a walk, or ends the one that is going. */
  press() {
    this.parts.go.textContent = this.walking.going ? "Stop" : this.way === "restore" ? "Restore it" : "Try it";
  }

  /** Something else is asked: results that answer another question go. */
  outdate() {
    this.walking.end("");
    this.parts.results.hidden = true;
    this.set("calls", {});
  }

  samplers() {
    return [0, 1].map((run) => this.parts[`sampler-${run}`].value);
  }

  /** The picture has changed. */
  renew() {
    this.notice();
    const { settings, parts, pad } = this;
    this.x0 = pad.image(settings.size, parts.framed.checked && settings.kind === "digit" ? settings.box : null);
    this.z = null;
    show(parts.clean, this.x0, settings.size);
    show(parts["own-picture"], this.x0, settings.size);
    const hole = settings.hole ? " Tap it (or use the arrow keys) to put the hole elsewhere." : "";
    parts["clean-told"].textContent = `your picture in ${settings.size} × ${settings.size} pixels.${hole}`;
    parts.clean.tabIndex = hole ? 0 : -1;
    this.harder();
  }

  /** Load the network, telling how far that is. */
  load() {
    const where = this.mode === "make" ? "new-" : "";
    const [progress, status] = [this.parts[`${where}progress`], this.parts[`${where}status`]];
    let shown = false;
    const tell = ({ loaded }) => {
      shown = true;
      progress.hidden = loaded === 1;
      progress.value = loaded;
      status.textContent = loaded < 1 ? "The network is on its way (2 MB, once)." : "";
    };
    const late = setTimeout(tell, 300, { loaded: 0 }); // the first part of it may be long in coming
    return this.client
      .ask("load", { network: this.name }, tell)
      .finally(() => clearTimeout(late))
      .then(() => {
        if (!shown) return;
        progress.hidden = true;
        status.textContent = "";
      });
  }

  /** Another damage is wished for. */
  harder() {
    this.outdate();
    this.again();
  }

  /** Damage the picture anew; of many wishes in a row the last is what counts. */
  again() {
    if (!this.x0) return;
    this.stale = true;
    // Nothing is loaded before the reader touches the lab.
    if (!this.client.worker) return this.unseen("what is left of it: you will see as soon as you do something");
    this.damaging ??= this.guarded(async () => {
      while (this.stale) {
        this.stale = false;
        await this.damage();
      }
    }).finally(() => (this.damaging = null));
  }

  /** The damaged picture is not there yet. */
  unseen(words) {
    this.parts.damaged.classList.add("lab-unseen");
    this.parts["damaged-told"].textContent = words;
  }

  async damage() {
    const { parts, name, drifts, settings } = this;
    const t = parts.severity.valueAsNumber;
    const { x0, z: wished } = this;
    await this.load();
    const { x, z } = await this.client.ask("damage", { network: name, x0, t, z: wished, drift: drifts });
    if (this.x0 !== x0 || this.name !== name || this.z !== wished) return; // the reader was faster
    Object.assign(this, { x, z });
    if (this.way === "eight" || (settings.files && !drifts)) this.x = eightBits(x);
    show(parts.damaged, this.x, settings.size);
    parts.damaged.classList.remove("lab-unseen");
    const levels = contrast(this.x) * 127.5;
    const told = levels < 8 ? ` Its pixels differ by ${levels.toFixed(1)} of 255 levels at most.` : "";
    parts["damaged-told"].textContent = `what is left of it.${told}`;
    this.set("wrong", {});
  }

  /** The hole goes where the reader taps, or a step by an arrow key. */
  place(event) {
    if (!this.settings.hole) return;
    const box = this.parts.clean.getBoundingClientRect();
    const share = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    this.z = share.map((value) =>
      Math.min(this.settings.size - 1, Math.max(0, Math.floor(value * this.settings.size))),
    );
    this.harder();
  }

  shift(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step || !this.z) return;
    event.preventDefault();
    this.z = this.z.map((value, axis) => Math.min(this.settings.size - 1, Math.max(-1, value + step[axis])));
    this.harder();
  }
}

/** The largest difference of two pixels of one channel, at most; black to white is 2. */
function contrast(x) {
  return x.reduce((most, value) => Math.max(most, value), -1) - x.reduce((least, value) => Math.min(least, value), 1);
}

customElements.define("cold-lab", ColdLab);
