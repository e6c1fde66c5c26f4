/**
 * "Which digit?": the class that a network is asked for, if it can be.
 *
 * The idea that holds this file together: there are two places to say so, the start and the network, and the reader can
 * switch either off.
 */

export class Asking {
  /** lab: the element. changed(drawn): the reader asks for something else; drawn: so that new numbers are to be drawn. */
  constructor(lab, changed) {
    this.lab = lab;
    const { parts } = lab;
    parts.label.onchange = () => (this.arrange(), changed(this.own !== null));
    parts.own.onchange = () => changed(true);
    lab.ranged("guidance", (value) => (value === "0" ? "not at all" : value));
    parts.guidance.onchange = () => changed(false);
  }

  /** Show the controls that have something to do. */
  arrange() {
    const { parts, settings, mode } = this.lab;
    parts.asking.hidden = !settings.asks;
    for (const part of ["guidance-row", "asking-words"]) parts[part].hidden = this.label === null;
    parts["own-row"].hidden = this.label === null || mode !== "make";
  }

  /** The class, or null for any. */
  get label() {
    const { parts, settings } = this.lab;
    return settings.asks && parts.label.value !== "" ? Number(parts.label.value) : null;
  }
  /** What the network is told: {label, guidance}. */
  get told() {
    return { label: this.label, guidance: this.lab.parts.guidance.valueAsNumber };
  }
  /** The class whose own mixture the numbers are drawn from, or null for that of all. */
  get own() {
    return this.lab.parts.own.checked ? this.label : null;
  }
  /** A sentence about it, for what the lab says. */
  get words() {
    return this.label === null ? "" : ` You asked for ${this.label === 8 ? "an" : "a"} ${this.label}.`;
  }
}
