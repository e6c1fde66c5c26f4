/**
 * What the lab begins with: its style, and pictures to pick from.
 *
 * The idea that holds this file together: nothing here is large, so it may come before anybody has touched the lab.
 */

const PHOTOGRAPHS = ["a face", "a flower", "a pagoda"];
const beside = (name) => new URL(name, import.meta.url).href;

/** The pictures to begin with, [{picture, title}]. */
export async function pictures(kind) {
  const [file, side, titles] =
    kind === "digit"
      ? ["digits.png", 32, Array.from({ length: 10 }, (_, k) => `the digit ${k}`)]
      : ["photographs.png", 64, PHOTOGRAPHS];
  const blob = await (await fetch(beside(file))).blob();
  return Promise.all(
    titles.map(async (title, k) => ({ title, picture: await createImageBitmap(blob, k * side, 0, side, side) })),
  );
}

/** A button that shows a picture and picks it. */
export function pickable({ picture, title }, onclick) {
  const button = Object.assign(document.createElement("button"), { type: "button", title, onclick });
  button.setAttribute("aria-label", title);
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
  canvas.getContext("2d").drawImage(picture, 0, 0, 64, 64);
  button.append(canvas);
  return button;
}

/** The style sheet of the lab, once per page. */
export function styled() {
  const href = beside("lab.css");
  const there = document.querySelector(`link[href="${href}"]`);
  const link = there ?? Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  if (!there) document.head.append(link);
  return link.sheet
    ? null
    : new Promise((done) => (link.addEventListener("load", done), link.addEventListener("error", done)));
}
