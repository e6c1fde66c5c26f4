/**
 * What the lab says and how it lies on the page.
 *
 * The idea that holds this file together: every control stands inside its label, every picture has words beneath, and
 * questions come before what answers them.
 */

import { NETWORKS } from "./networks.js";

export const SAMPLERS = {
  single: "One call",
  naive: "Algorithm 1",
  improved: "Algorithm 2",
  averaged: "Averaged",
};

/** What each does with the network's guesses, in words that need no formula. */
export const MEANING = {
  single: "takes the first guess as it is.",
  naive: "takes the guess, damages it again a little less, and asks anew.",
  improved: "keeps the damaged picture, and changes it by what the damage of the guess would change.",
  averaged: "does as Algorithm 2 with the mean of all guesses so far, in which the newest has weight w.",
};

export const LONG = {
  single: "One call of the network",
  naive: "Algorithm 1 (naive)",
  improved: "Algorithm 2 (improved)",
  averaged: "Averaged (Algorithm 2 by the mean of the guesses)",
};

const options = (table, chosen) =>
  Object.entries(table)
    .map(([value, text]) => `<option value="${value}"${value === chosen ? " selected" : ""}>${text}</option>`)
    .join("");

const range = (part, text, attributes) =>
  `<label class="lab-range" data-part="${part}-row"><span>${text}</span>
   <input type="range" data-part="${part}" ${attributes}><output data-part="${part}-told"></output></label>`;

const picture = (part, caption) =>
  `<figure><canvas data-part="${part}" role="img" aria-label="${caption}" width="32" height="32"></canvas>
   <figcaption data-part="${part}-told">${caption}</figcaption></figure>`;

const column = (run, chosen) =>
  `<div class="lab-column lab-run-${run}"><p class="lab-name" data-part="name-${run}">${SAMPLERS[chosen]}</p>
   <div class="lab-states">${picture(`state-${run}`, "state")}
   <div>${picture(`truth-${run}`, "yours")}${picture(`guess-${run}`, "guess")}</div></div>
   <div class="lab-film" data-part="film-${run}" data-full="film"></div></div>`;

export const QUESTIONS = {
  restore:
    "Before you press: both ways start from the same damaged picture and ask the same network. Which one will end nearer to your picture?",
  eight:
    "Saved as a PNG, the damaged picture keeps 256 levels of brightness, and looks the same to you. Will the network still find the picture in it?",
  severity:
    "The network and the sampler believe what they are told about the damage. Which is worse for them: to be told too little, or too much?",
  nonsense:
    "Algorithm 2 is said to forgive the network. So take the network away, and answer with nonsense in every call. Will the picture come back? Try both kinds of damage.",
};

/** What is seen of a walk; film, chart: whether they are shown. */
export const LEGEND = (film, chart) =>
  "<b>Large:</b> the state, on its way from the damaged picture. <b>Guess:</b> what the network believes was there, judging by the state. " +
  (film ? "<b>Rows:</b> states above guesses, from the first calls to the last. " : "") +
  `<b>${chart ? "The curve" : "The error"}:</b> how far the state is from your picture (root mean squared error; black to white is 1).`;

/** What was broken, in words; blurred: whether the damage is a blur. files: the network has met only pictures of 8 bits. */
export const answer = (way, blurred, files) =>
  (blurred ? ANSWERS : { ...ANSWERS, ...ELSE, ...(files ? FILES : {}) })[way];

const FILES = {
  eight:
    "This network has met none but rounded pictures: under <i>Restore</i>, too, it is given one, and told. Nobody told it now. Where a hole has left hardly anything, it takes the steps of rounding for the picture, and enlarges them. Tick the box, and compare.",
};

const ELSE = {
  eight:
    "Coarse pixels leave large differences, which rounding hardly touches. Break a blurred picture in the same way, and see the difference.",
  severity:
    "The network and the sampler both go by the severity that they are told. With a wrong one they take damage away that was never done, or leave some of it.",
};

const ANSWERS = {
  eight:
    "Under a strong blur, pixels differ by so little that rounding takes away most of what the network needs. If nobody tells it, it takes the steps of rounding for the picture. If it is told, it trusts only what a rounded picture can hold, and makes up the rest. How well that goes depends on the network: try the small one of the chapters, which met rounded pictures in training.",
  severity:
    "The network judges faint differences by the severity that it is told. Told too little, it takes what is left for a faint picture, and finds hardly anything in it. Told too much, it takes it for a strong one, and makes up shapes that nobody drew.",
  nonsense:
    "Where damage adds the same to every image, Algorithm 2 subtracts it step by step, and any answer of R cancels out: no network was needed. Where damage depends on the image, as a blur or a hole does, the answers stay in the result. That is Theorem 1 of <i>What Algorithm 2 forgives</i> (chapter 5).",
};

/** The lab's HTML. uid: a name for its radio buttons, one per lab on a page. left, right: the samplers. */
export function template(uid, network, left, right) {
  const modes = { restore: "Restore", make: "Make new ones", break: "Break it" };
  const titles = Object.fromEntries(Object.entries(NETWORKS).map(([name, { title }]) => [name, title]));
  const radio = (group, value, text, checked) =>
    `<label><input type="radio" name="${group}-${uid}" value="${value}"${checked ? " checked" : ""}><span>${text}</span></label>`;
  return `
<div class="lab-modes" role="radiogroup" aria-label="What to do" data-full="modes">
  ${Object.entries(modes)
    .map(([value, text], k) => radio("mode", value, text, k === 0))
    .join("")}
</div>
<label class="lab-choice" data-full="network"><span>The network has learnt to mend</span> <select data-part="network">${options(titles, network)}</select></label>
<section aria-label="Which digit" data-part="asking">
  <div class="lab-row"><label>Ask the network for <select data-part="label">${options({ "": "any digit" }, "")}${options(
    Object.fromEntries(Array.from({ length: 10 }, (_, k) => [k, k === 8 ? "an 8" : `a ${k}`])),
  )}</select></label></div>
  ${range("guidance", "How strongly the network is told, w", 'min="0" max="3" step="0.25" value="1"')}
  <label class="lab-check" data-part="own-row"><input type="checkbox" data-part="own" checked><span>Draw the nine numbers as those of that digit, too</span></label>
  <p class="lab-words" data-part="asking-words">w = 0: the network is told nothing. 1: it restores what it is asked for. More: it goes beyond, away from what it would restore unasked, and costs a second call.</p>
</section>
<section aria-label="A picture" data-modes="restore break">
  <p class="lab-step"><b>1</b> A picture <span data-part="hint"></span></p>
  <div class="lab-desk">
    <canvas class="lab-pad" data-part="pad" tabindex="0" role="img"></canvas>
    <div class="lab-tools">
      <div class="lab-picks" data-part="picks" role="group" aria-label="Or pick one"></div>
      <div class="lab-buttons">
        <button type="button" data-part="clear">Clear</button>
        <label class="lab-button" data-full="upload"><span data-part="upload-told">Upload a picture</span><input type="file" accept="image/*" data-part="file"></label>
        <button type="button" data-part="photograph" hidden>Take it as a photograph</button>
      </div>
      <p class="lab-status" role="status" data-part="picture-status"></p>
      <label class="lab-check" data-part="framed-row"><input type="checkbox" data-part="framed" checked><span>Bring it into the frame that the network knows: size, and middle of the ink</span></label>
      ${range("zoom", "How close", 'min="1" max="4" step="0.05" value="1"')}
      <p class="lab-note">The network runs in your browser. Nothing that you draw or upload leaves it.</p>
    </div>
  </div>
</section>
<section aria-label="The damage" data-modes="restore break">
  <p class="lab-step"><b>2</b> The damage</p>
  ${range("severity", "How strong: severity t", 'min="1"')}
  <div class="lab-pair">${picture("clean", "your picture")}${picture("damaged", "what is left of it")}</div>
</section>
<section aria-label="What to break" data-modes="break">
  <p class="lab-step"><b>+</b> What to break</p>
  <div class="lab-ways" role="radiogroup" aria-label="What to break">
    ${radio("way", "eight", "The picture: round it to 8 bits", true)}${radio("way", "severity", "What is told: a wrong severity")}${radio("way", "nonsense", "The network: nonsense for R")}
  </div>
  <label class="lab-check" data-ways="eight"><input type="checkbox" data-part="told"><span>Tell the network that the picture is rounded</span></label>
  <div data-ways="severity">${range("wrong", "What it is told, t =", 'min="1"')}</div>
  <div class="lab-row" data-ways="nonsense">
    <label>R answers <select data-part="says"><option value="noise">noise, new in every call</option><option value="picture">always one other picture</option></select></label>
    <label>The damage <select data-part="drift"><option value="">is the one it has learnt</option><option value="drift">adds the same ramp to any picture, t times</option></select></label>
  </div>
</section>
<section aria-label="The way back" data-modes="restore break">
  <p class="lab-step"><b>3</b> The way back</p>
  <p class="lab-question" data-part="question">${QUESTIONS.restore}</p>
  <div class="lab-row" data-full="samplers">
    <label>Left <select data-part="sampler-0">${options(LONG, left)}</select></label>
    <label>Right <select data-part="sampler-1">${options(LONG, right)}</select></label>
  </div>
  <p class="lab-words" data-part="meaning"></p>
  <div data-full="calls">${range("calls", "Calls of the network", 'min="1"')}</div>
  ${range("weight", "Weight of the newest guess, w", 'min="0.02" max="1" step="0.02" value="0.1"')}
  <button type="button" class="lab-go" data-part="go">Restore it</button>
  <progress data-part="progress" max="1" hidden aria-label="The network is being loaded"></progress>
  <p class="lab-status" role="status" data-part="status"></p>
  <div data-part="results" hidden>
    <div class="lab-two">${column(0, left)}${column(1, right)}</div>
    ${range("step", "Look back at step", 'min="0" value="0"')}
    <figure class="lab-chart" data-part="chart" data-full="chart"></figure>
    <p data-part="reading"></p>
    <p class="lab-words" data-part="words"></p>
  </div>
</section>
${making}`;
}

const making = `
<section aria-label="Make new ones" data-modes="make">
  <p class="lab-question">A picture that is blurred to grey still holds nine numbers. If you choose the nine, there is a grey that nobody blurred, and the network restores a digit that nobody wrote. Before you press: will <i>any</i> nine numbers give a digit?</p>
  <div class="lab-buttons">
    <button type="button" class="lab-go" data-part="new">Draw nine numbers</button>
    <button type="button" data-part="mine"><canvas data-part="own-picture" aria-hidden="true"></canvas>Take those of this picture</button>
    <button type="button" data-part="zero">All in the middle</button>
  </div>
  ${range("new-calls", "Calls of the network", 'min="1" max="20" value="3"')}
  <progress data-part="new-progress" max="1" hidden aria-label="The network is being loaded"></progress>
  <p class="lab-status" role="status" data-part="new-status"></p>
  <div class="lab-pair" data-part="pair" hidden>${picture("start", "the start: grey, its faint differences made visible")}${picture("made", "what the network makes of it")}</div>
  <div class="lab-sliders" data-part="numbers" role="group" aria-label="The nine numbers"></div>
  <p class="lab-words">Each number says how much of one pattern is in the picture; the first is its brightness. 0 is the middle of all digits that the network learnt from, 1 is one standard deviation away. Drawn numbers come from a Gaussian mixture, which knows how the nine hang together; they are drawn a little nearer to the middles of its Gaussians than it says (a temperature of 0.75, as in chapter 6). Move one alone, far, and you leave what digits have.</p>
  <div class="lab-gallery" data-part="gallery" role="img" aria-label="What was made so far"></div>
</section>`;
