/**
 * The way back: both walks, a step of each in turn, and what is seen of them.
 *
 * The idea that holds this file together: every step is kept, so that the reader can look back; what is on the page is
 * step k of what is kept. A walk that is no longer the newest is not heard; whatever the reader changes ends it.
 */

import { Chart } from "./chart.js";
import { ColdlabError } from "./errors.js";
import { Pad } from "./pad.js";
import { rmse, show } from "./pictures.js";
import { LEGEND, SAMPLERS, answer } from "./template.js";

const FRAMES = 8; // of a film
const EQUAL = 0.002; // errors that differ by less are called equal

export class Walking {
  /** lab: the element, whose picture, damage and controls it uses. */
  constructor(lab) {
    Object.assign(this, { lab, walk: null, going: false, turn: 0, steps: [] });
  }

  /** End the walk, if one is going or about to begin, and say so in `words`. */
  end(words) {
    this.turn++;
    this.walk?.cancel();
    this.walk = null;
    this.going = false;
    this.lab.press();
    this.lab.parts.status.textContent = words;
  }

  /** What each side runs: {sampler, weight, calls}. */
  runs(t) {
    const { lab } = this;
    const calls = Math.min(t, lab.parts.calls.valueAsNumber); // each severity once
    return lab.samplers().map((sampler) => {
      if (sampler === "single") return { sampler: "improved", calls: 1 };
      return { sampler, calls, weight: sampler === "averaged" ? lab.parts.weight.valueAsNumber : undefined };
    });
  }

  /** Walk back by both samplers. */
  async run() {
    const { lab } = this;
    const { way } = lab;
    this.end("");
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (lab.pad.empty) throw new ColdlabError("Draw or pick a picture first.");
    const turn = this.turn;
    this.going = true;
    lab.press();
    try {
      await lab.load();
      if (turn === this.turn) lab.again();
      await lab.damaging;
      if (turn === this.turn) await this.there(way);
    } finally {
      if (turn === this.turn) this.going = false;
      lab.press();
    }
  }

  /** All steps of both walks, then what came of them. */
  async there(way) {
    const { lab } = this;
    const { parts } = lab;
    const t = way === "severity" ? parts.wrong.valueAsNumber : parts.severity.valueAsNumber;
    const runs = this.runs(t);
    this.begin(runs, t);
    const says = way !== "nonsense" ? null : parts.says.value === "noise" ? "noise" : this.other();
    const rounded = way === "eight" ? parts.told.checked : Boolean(lab.settings.files);
    const asked = {
      network: lab.name,
      x: lab.x,
      t,
      z: null,
      rounded,
      says,
      drift: lab.drifts,
      runs,
      ...lab.asking.told,
    };
    const walk = lab.client.ask("walk", asked, (part) => this.walk === walk && this.step(part, runs));
    this.walk = walk;
    await walk;
    if (this.walk === walk) await this.finish();
  }

  /** The page before the first step. */
  begin(runs, t) {
    const { lab } = this;
    const { parts, settings } = lab;
    this.steps = runs.map(() => [{ x: lab.x, x0: null, r: t }]);
    this.names = lab.samplers().map((sampler) => SAMPLERS[sampler]);
    for (const run of [0, 1]) {
      parts[`film-${run}`].replaceChildren();
      show(parts[`truth-${run}`], lab.x0, settings.size);
    }
    parts.reading.textContent = "";
    parts.words.innerHTML =
      answer(lab.way, lab.name.includes("-blur"), settings.files) ?? LEGEND(lab.has("film"), lab.has("chart"));
    parts.status.textContent = "On the way back …"; // the steps themselves would be too much to hear
    parts.results.hidden = false;
    const most = Math.max(...runs.map((run) => run.calls));
    this.chart = new Chart(parts.chart, this.names, most, rmse(lab.x, lab.x0));
    lab.set("step", { max: most, value: 0 });
    this.look(0, false);
    lab.querySelector(".lab-two").scrollIntoView({ block: "nearest", behavior: this.still ? "auto" : "smooth" });
  }

  /** One step of one walk; before the first, where the hole was found. */
  step({ run, x, x0, r, calls, place }, runs) {
    if (place) {
      this.found = place;
      return;
    }
    this.steps[run].push({ x, x0, r });
    this.chart.add(run, rmse(x, this.lab.x0));
    const frame = (k) => Math.floor((k * FRAMES) / runs[run].calls);
    if (frame(calls) > frame(calls - 1)) this.film(run, [x, x0]);
    if (!this.still && !this.held) this.newest();
  }

  newest() {
    const newest = Math.max(...this.steps.map((steps) => steps.length - 1));
    this.lab.set("step", { value: newest });
    this.look(newest);
  }

  /** A state above its guess, at the end of a film. */
  film(run, images) {
    const pair = document.createElement("div");
    for (const image of images) {
      const canvas = document.createElement("canvas");
      show(canvas, image, this.lab.settings.size);
      pair.append(canvas);
    }
    this.lab.parts[`film-${run}`].append(pair);
  }

  /** Show step k of both walks; a shorter one stays at its end. held: the reader has gone there, and stays. */
  look(k, held = this.held) {
    this.held = held;
    const { parts, settings, x0: truth } = this.lab;
    this.steps.forEach((steps, run) => {
      const { x, x0, r } = steps[Math.min(k, steps.length - 1)];
      show(parts[`state-${run}`], x, settings.size);
      show(parts[`guess-${run}`], x0 ?? x.map(() => 0), settings.size);
      const error = rmse(x, truth).toFixed(3);
      parts[`state-${run}-told`].textContent = `state, t = ${r}; error ${error}`;
      parts[`guess-${run}-told`].textContent = x0 ? "guess" : "no guess yet";
      parts[`state-${run}`].setAttribute("aria-label", `${this.names[run]}, state at t = ${r}, error ${error}`);
    });
  }

  /** What came of it, in words. */
  async finish() {
    const { lab, names } = this;
    const { parts, settings } = lab;
    if (!this.held) this.newest();
    const before = rmse(lab.x, lab.x0);
    const ends = this.steps.map((steps) => steps.at(-1).x);
    const errors = ends.map((end) => rmse(end, lab.x0));
    const told = [`Error left: ${names.map((name, run) => `${name} ${errors[run].toFixed(3)}`).join(", ")}.`];
    const nearer = names[errors[0] < errors[1] ? 0 : 1];
    told.push(
      Math.abs(errors[0] - errors[1]) < EQUAL
        ? "They end equally near to your picture."
        : `${nearer} ends nearer to your picture.`,
    );
    const lost = errors.every((error) => error > before);
    told.push(`The damaged picture was ${before.toFixed(3)} away${lost ? ": both have made it worse" : ""}.`);
    if (settings.hole && !lab.drifts) {
      const off = Math.hypot(...this.found.map((value, axis) => value - lab.z[axis]));
      told.push(
        off ? `The hole was found ${off.toFixed(1)} pixels from its place.` : "The hole was found exactly where it is.",
      );
    }
    parts.status.textContent = told.join(" ");
    this.going = false; // for the reader, who may go on while it is read
    lab.press();
    if (settings.eyes) await lab.guarded(() => this.read(ends), "reading");
  }

  /** What another network reads in your picture and in the ends. */
  async read(ends) {
    const { lab, names, turn } = this;
    const { parts, settings } = lab;
    const images = [lab.x0, ...ends];
    const readings = await lab.client.ask("read", { network: `${settings.eyes}-classifier`, images });
    if (turn !== this.turn) return;
    const said = readings.map((shares) => {
      const best = shares.indexOf(Math.max(...shares));
      return `${settings.classes?.[best] ?? best} (${Math.round(100 * shares[best])} % sure)`;
    });
    const kind = settings.classes ? "photographs (of ten things; people are not among them)" : "digits";
    parts.reading.innerHTML =
      `<b>Another network</b>, which has learnt to tell ${kind} apart, reads your picture as ${said[0]}, ` +
      `the result of ${names[0]} as ${said[1]}, and that of ${names[1]} as ${said[2]}. ` +
      "It has to choose one of ten, whatever it sees, and being sure is not being right.";
  }

  /** Another picture of the same kind, for nonsense. */
  other() {
    const { settings, picks } = this.lab;
    const pad = new Pad(document.createElement("canvas"));
    const digit = settings.kind === "digit";
    pad.take(picks[digit ? 5 : 1].picture, { writing: digit, plain: true });
    return pad.image(settings.size, digit ? settings.box : null);
  }
}
