/**
 * The error of each walk, growing with its calls.
 *
 * The idea that holds this file together: two lines that differ in more than colour, each named at its end.
 */

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [340, 186, 40, 84, 26, 34];
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

export class Chart {
  /** Draw into `host`. names: of the walks; calls: of the longest; first: the error before any call. */
  constructor(host, names, calls, first) {
    Object.assign(this, { calls, errors: names.map(() => [first]), most: Math.max(first, 0.05), names });
    this.svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    host.replaceChildren(this.svg);
    this.draw();
  }

  /** One more call of a walk, and the error of its state. */
  add(run, error) {
    this.errors[run].push(error);
    this.most = Math.max(this.most, error);
    this.draw();
  }

  x(k) {
    return LEFT + (k / this.calls) * (WIDTH - LEFT - RIGHT);
  }
  y(error) {
    return HEIGHT - BOTTOM - (error / (1.08 * this.most)) * (HEIGHT - TOP - BOTTOM);
  }

  draw() {
    const floor = HEIGHT - BOTTOM;
    const parts = [
      element("path", { class: "axis", d: `M${LEFT} ${TOP}V${floor}H${WIDTH - RIGHT}` }),
      element("text", { x: LEFT - 5, y: this.y(this.most) + 4, "text-anchor": "end" }, this.most.toFixed(2)),
      element("text", { x: LEFT - 5, y: floor + 4, "text-anchor": "end" }, "0"),
      element("text", { x: LEFT, y: HEIGHT - 18 }, "0"),
      element("text", { x: this.x(this.calls), y: HEIGHT - 18, "text-anchor": "end" }, String(this.calls)),
      element("text", { x: LEFT, y: HEIGHT - 3 }, "calls of the network"),
      element("text", { x: 0, y: 12 }, "error left"),
    ];
    const ends = this.errors.map((errors) => this.y(errors.at(-1)));
    if (ends.length > 1 && Math.abs(ends[0] - ends[1]) < 14) {
      // keep the names apart
      const middle = Math.min(floor - 8, Math.max(TOP + 8, (ends[0] + ends[1]) / 2));
      const up = ends[0] <= ends[1] ? 0 : 1;
      [ends[up], ends[1 - up]] = [middle - 7, middle + 7];
    }
    this.errors.forEach((errors, run) => {
      const d = errors
        .map((error, k) => `${k ? "L" : "M"}${this.x(k).toFixed(1)} ${this.y(error).toFixed(1)}`)
        .join("");
      const end = [this.x(errors.length - 1), this.y(errors.at(-1))];
      parts.push(
        element("path", { class: `run run-${run}`, d }),
        element("circle", { class: `run-${run}`, cx: end[0], cy: end[1], r: 3 }),
        element("text", { class: `run-${run}`, x: end[0] + 7, y: ends[run] + 4 }, this.names[run]),
      );
    });
    this.svg.replaceChildren(...parts);
    const told = this.errors.map((errors, run) => `${this.names[run]} ${errors.at(-1).toFixed(3)}`).join(", ");
    this.svg.setAttribute("aria-label", `Error against calls of the network; now ${told}.`);
  }
}
