// The three exercises of the page "Try it". Each asks the reader first and then draws samples to see who is right.
"use strict";

const EXERCISE_SAMPLES = 4;

// Draw samples of a stack for what is given, and return their running mean and standard deviation.
async function drawn(live, truth, words, seed, samples, tell) {
  const given = observe(live, truth, words, seed);
  const running = new Running(truth.length);
  for (let k = 0; k < samples; k++) {
    tell(k + 1);
    const sample = await sampleMDS(live.prior, given, normals(100 * seed + k + 1), () => new Promise((resolve) => setTimeout(resolve)));
    running.add(sample);
  }
  return running;
}

const modalityOf = (stack, live, name) => {
  const at = live.prior.modalities.indexOf(name);
  return stack.subarray(at * live.prior.size ** 2, (at + 1) * live.prior.size ** 2);
};
const average = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
const chosenSlice = (page) => Number(page.slice.value);

// 1. Which scan would tell most about the PET?
async function whichScan(page, guess, tell) {
  const { live } = page;
  const truth = live.stacks[chosenSlice(page)];
  const spread = {};
  for (const candidate of WHICH) {
    const words = live.prior.modalities.map((name) => (name === "T1" || name === candidate ? "clean" : "missing"));
    const running = await drawn(live, truth, words, 1, EXERCISE_SAMPLES, (k) => tell(`T1 + ${candidate}, sample ${k} of ${EXERCISE_SAMPLES} …`));
    spread[candidate] = average(modalityOf(running.std, live, "PET"));
  }
  const best = WHICH.reduce((a, b) => (spread[a] < spread[b] ? a : b));
  const table = WHICH.map((name) => `${name} ${spread[name].toFixed(4)}`).join(", ");
  tell(`${guess === best ? "Right" : "Not here"}: the samples of the PET differ least after ${best}. Mean standard deviation after each: ${table}.`);
}

// 2. At which R is a small lesion lost, when its own k-space is all there is?
async function lostLesion(page, guess, tell) {
  const { live } = page;
  const { size, modalities, accelerations } = live.prior;
  const truth = live.stacks[chosenSlice(page)].slice();
  const flair = modalityOf(truth, live, "T2FLAIR");
  const centre = innermost(modalityOf(truth, live, "T1"), size);
  const near = (low, high) => [...flair.keys()].filter((p) => {
    const distance = Math.hypot(Math.floor(p / size) - centre[0], (p % size) - centre[1]);
    return distance >= low && distance < high;
  });
  const [inside, around] = [near(0, 1.5), near(3, 5)];
  const contrast = (image) => average(inside.map((p) => image[p])) - average(around.map((p) => image[p]));
  inside.forEach((p) => (flair[p] = Math.min(flair[p] + 0.3, 1)));
  const kept = {};
  for (const r of accelerations) {
    const words = modalities.map((name) => (name === "T2FLAIR" ? String(r) : "missing"));
    const running = await drawn(live, truth, words, 2, EXERCISE_SAMPLES, (k) => tell(`R = ${r}, sample ${k} of ${EXERCISE_SAMPLES} …`));
    kept[r] = contrast(modalityOf(running.mean, live, "T2FLAIR")) / contrast(flair);
  }
  const lost = accelerations.find((r) => kept[r] < 0.5);
  const table = accelerations.map((r) => `R = ${r}: ${(100 * kept[r]).toFixed(0)} %`).join(", ");
  tell(`${guess === String(lost ?? "never") ? "Right" : "Not here"}. Of the lesion's contrast the mean of the samples keeps ${table}.`);
}

// The pixel whose neighbourhood of 9 x 9 is brightest in T1 while the middle third of the image is left out: white matter.
function innermost(image, size) {
  let best = [0, -1, -1];
  for (let i = 16; i < size - 16; i++) {
    for (let j = 14; j < size / 2 - 4; j++) {
      let sum = 0;
      for (let k = -4; k <= 4; k++) for (let l = -4; l <= 4; l++) sum += image[(i + k) * size + j + l];
      if (sum > best[0]) best = [sum, i, j];
    }
  }
  return best.slice(1);
}

// 3. Which of two T2-FLAIR images is the truth? Returns the two, drawn side by side, and which one is it.
async function sampleOrTruth(page, canvases, tell) {
  const { live } = page;
  const truth = live.stacks[chosenSlice(page)];
  const seed = Math.floor(1e6 * Math.random());
  const words = live.prior.modalities.map((name) => (["T1", "T2star"].includes(name) ? "clean" : "missing"));
  const running = await drawn(live, truth, words, seed, 1, () => tell("Drawing a sample …"));
  const pair = [truth, running.mean].map((stack) => modalityOf(stack, live, "T2FLAIR"));
  const first = Math.random() < 0.5 ? 0 : 1;
  canvases.forEach((canvas, k) => draw(canvas, pair[(first + k) % 2], live.prior.size));
  tell("One is the truth, one a sample given T1 and T2*. Which is the truth?");
  return first === 0 ? "left" : "right";
}

const WHICH = ["T2FLAIR", "T2star", "CT"];

class Exercises {
  constructor(root, page) {
    Object.assign(this, { root, page, right: 0, asked: 0 });
    this.question("1. T1 is given and the PET is wanted. Which scan would tell most about it?", WHICH.map((w) => [w, w]), whichScan);
    const rates = page.live.prior.accelerations.map((r) => [String(r), `R = ${r}`]);
    this.question("2. A small bright lesion is put into the T2-FLAIR, of which only k-space is given. At which R is more than half of its contrast lost?", [...rates, ["never", "at none of them"]], lostLesion);
    this.pair();
  }

  add(parent, tag, properties = {}) {
    return this.page.add(parent, tag, properties);
  }

  question(text, options, check) {
    const box = this.add(this.root, "fieldset");
    this.add(box, "legend", { textContent: text });
    const select = this.add(box, "select", { "aria-label": "Your answer" });
    options.forEach(([value, label]) => this.add(select, "option", { value, textContent: label }));
    const button = this.add(box, "button", { type: "button", textContent: "Check" });
    const said = this.add(box, "p", { role: "status" });
    button.addEventListener("click", async () => {
      button.disabled = true;
      await check(this.page, select.value, (message) => (said.textContent = message));
      button.disabled = false;
    });
  }

  pair() {
    const box = this.add(this.root, "fieldset");
    this.add(box, "legend", { textContent: "3. Can you tell a sample from the truth?" });
    const canvases = ["left", "right"].map((side) => this.add(box, "canvas", { role: "img", "aria-label": `T2FLAIR, ${side}` }));
    const buttons = ["New pair", "Left", "Right"].map((textContent) => this.add(box, "button", { type: "button", textContent }));
    const said = this.add(box, "p", { role: "status" });
    let answer = null;
    const [fresh, ...sides] = buttons;
    sides.forEach((button) => (button.disabled = true));
    fresh.addEventListener("click", async () => {
      fresh.disabled = true;
      answer = await sampleOrTruth(this.page, canvases, (message) => (said.textContent = message));
      buttons.forEach((button) => (button.disabled = false));
    });
    sides.forEach((button) => button.addEventListener("click", () => {
      const correct = button.textContent.toLowerCase() === answer;
      [this.right, this.asked] = [this.right + correct, this.asked + 1];
      said.textContent = `${correct ? "Right" : "Wrong"}: the truth is on the ${answer}. So far ${this.right} of ${this.asked}; by chance it would be half.`;
      sides.forEach((other) => (other.disabled = true));
    }));
  }
}
