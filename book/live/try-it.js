// The page "Try it": what the reader gives, MDS in the browser, and what comes of it. Everything lies beside this file.
"use strict";

const FILES = ["mds.js", "exercises.js", "stacks.js", "runtime.js", "model.js"]; // each registers what it holds in `A2A_LIVE`
const HERE = document.currentScript.src.replace(/[^/]*$/, "");
window.A2A_LIVE = {};

class Told extends Error {} // its message is for the reader

function loadScript(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = HERE + name;
    script.onload = resolve;
    script.onerror = () => reject(new Told(`The file live/${name} is missing: this book was built or unpacked without the model.`));
    document.head.append(script);
  });
}

function bytesOf(base64) {
  const text = atob(base64);
  return Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}

async function unzipped(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Load everything and return the prior, ready to predict, and the stacks.
async function load() {
  if (typeof WebAssembly === "undefined") throw new Told("This browser has no WebAssembly, so it cannot run the network; use a newer one.");
  if (typeof DecompressionStream === "undefined") throw new Told("This browser cannot unpack the network; use a newer one.");
  for (const name of FILES) await loadScript(name);
  for (const name of ["stacks", "wasm", "glue", "model"]) {
    if (!A2A_LIVE[name]) throw new Told(`What holds the ${name} was cut; build or unpack the book again.`);
  }
  const { ort } = window;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([A2A_LIVE.glue], { type: "text/javascript" })) };
  let session;
  try {
    ort.env.wasm.wasmBinary = (await unzipped(A2A_LIVE.wasm)).buffer;
    session = await ort.InferenceSession.create(await unzipped(A2A_LIVE.model), { executionProviders: ["wasm"] });
  } catch (error) {
    throw new Told(`The network could not be started (${error.message}); build or unpack the book again.`);
  }
  const { prior, images, subjects } = A2A_LIVE.stacks;
  const [n, side] = [prior.modalities.length, prior.size];
  const row = (values, shape) => new ort.Tensor("float32", Float32Array.from(values), shape);
  prior.predict = async (x, times, signal, spread) => {
    const fed = { x: row(x, [1, n, side, side]), times: row(times, [1, n]), signal: row(signal, [1, n, 1, 1]), spread: row(spread, [1, n, 1, 1]) };
    return Float64Array.from((await session.run(fed)).x0.data);
  };
  const values = bytesOf(images);
  const size = n * side * side;
  const stacks = subjects.map((_, k) => Float64Array.from(values.subarray(k * size, (k + 1) * size), (v) => v / 255));
  const maps = birdcage(prior.coils, side, side, prior.radius);
  const foldings = new Map(prior.accelerations.map((r) => [r, new Folding(maps, r, side, side)]));
  return { prior, stacks, subjects, foldings };
}

// What is given of a stack: one word for each modality, "clean", "missing", or R of its k-space.
function observe({ prior, foldings }, stack, words, seed) {
  const pixels = prior.size ** 2;
  return words.map((word, i) => {
    const image = stack.slice(i * pixels, (i + 1) * pixels);
    if (word === "clean") return { clean: image };
    if (word === "missing") return {};
    return { measured: foldings.get(Number(word)).measure(image, prior.noise_std, normals(1000 * seed + i)) };
  });
}

// Mean and standard deviation of the samples so far, pixel by pixel.
class Running {
  constructor(count) {
    Object.assign(this, { samples: 0, mean: new Float64Array(count), squares: new Float64Array(count) });
  }

  add(sample) {
    this.samples += 1;
    sample.forEach((v, i) => {
      const before = v - this.mean[i];
      this.mean[i] += before / this.samples;
      this.squares[i] += before * (v - this.mean[i]);
    });
  }

  get std() {
    return this.squares.map((v) => Math.sqrt(v / Math.max(this.samples - 1, 1)));
  }
}

function psnr(a, b) {
  let sum = 0;
  a.forEach((v, i) => (sum += (v - b[i]) ** 2));
  return -10 * Math.log10(sum / a.length);
}

function draw(canvas, values, side, high = 1) {
  [canvas.width, canvas.height] = [side, side];
  const picture = new ImageData(side, side);
  values.forEach((v, i) => picture.data.set([0, 0, 0].fill(Math.round(255 * Math.min(Math.max(v / high, 0), 1))).concat(255), 4 * i));
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

const STD_SHOWN = 0.2; // white in the column of standard deviations
const COLUMNS = ["given", "this sample", "mean", "std", "truth"];

// The controls and the pictures, inside the element that the page provides.
class Page {
  constructor(root) {
    this.root = root;
    this.button = this.add(root, "button", { textContent: "Load the network (14 MB)", type: "button" });
    this.status = this.add(root, "p", { className: "status", role: "status" });
    this.button.addEventListener("click", () => this.start());
  }

  add(parent, tag, properties = {}) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) name in element ? (element[name] = value) : element.setAttribute(name, value);
    parent.append(element);
    return element;
  }

  tell(text) {
    this.status.textContent = text;
  }

  async start() {
    this.button.disabled = true;
    this.tell("Loading …");
    try {
      this.live = await load();
    } catch (error) {
      this.tell(error instanceof Told ? error.message : `The network could not be started: ${error.message}`);
      return;
    }
    this.build();
    document.querySelectorAll(".try-it-exercises").forEach((root) => new Exercises(root, this));
    this.tell("Ready. Choose what is given, then complete the stack.");
  }

  build() {
    const { prior, subjects, stacks } = this.live;
    const choices = this.add(this.root, "div", { className: "choices" });
    this.root.insertBefore(choices, this.status);
    const slice = this.add(this.add(choices, "label", { textContent: "Slice " }), "select", { name: "slice" });
    subjects.forEach((name, k) => this.add(slice, "option", { value: k, textContent: `${k + 1} (subject ${name})` }));
    slice.addEventListener("change", () => this.show(stacks[slice.value]));
    const words = [["clean", "image"], ...prior.accelerations.map((r) => [String(r), `k-space, R = ${r}`]), ["missing", "missing"]];
    this.given = prior.modalities.map((name, i) => {
      const select = this.add(this.add(choices, "label", { textContent: `${name} ` }), "select", { name });
      words.forEach(([value, text]) => this.add(select, "option", { value, textContent: text }));
      select.value = i === 0 ? "clean" : i === 1 ? "4" : "missing";
      return select;
    });
    const samples = this.add(this.add(choices, "label", { textContent: "Samples " }), "select", { name: "samples" });
    [1, 2, 4, 8, 16].forEach((count) => this.add(samples, "option", { value: count, textContent: count }));
    samples.value = 4;
    Object.assign(this, { slice, samples });
    this.button.textContent = "Complete";
    this.button.disabled = false;
    this.button.replaceWith((this.button = this.button.cloneNode(true)));
    this.button.addEventListener("click", () => (this.running ? (this.stopped = true) : this.complete()));
    this.pictures();
    this.show(stacks[0]);
  }

  pictures() {
    const table = this.add(this.add(this.root, "div", { className: "pictures", tabIndex: 0, role: "group", "aria-label": "Images" }), "table");
    const head = this.add(this.add(table, "thead"), "tr");
    for (const title of ["", ...COLUMNS, "PSNR"]) this.add(head, title ? "th" : "td", title ? { textContent: title, scope: "col" } : {});
    const body = this.add(table, "tbody");
    this.cells = this.live.prior.modalities.map((name) => {
      const row = this.add(body, "tr");
      this.add(row, "th", { textContent: name, scope: "row" });
      const canvases = COLUMNS.map((column) => this.add(this.add(row, "td"), "canvas", { role: "img", "aria-label": `${name}, ${column}` }));
      return { canvases, score: this.add(row, "td") };
    });
  }

  // Draw one column; without values it is left empty.
  column(title, stack, high = 1) {
    const side = this.live.prior.size;
    const [at, pixels] = [COLUMNS.indexOf(title), side ** 2];
    this.cells.forEach(({ canvases }, i) => draw(canvases[at], stack ? stack.subarray(i * pixels, (i + 1) * pixels) : new Float64Array(pixels), side, high));
  }

  show(truth) {
    for (const title of COLUMNS) this.column(title, title === "truth" ? truth : null);
    this.cells.forEach(({ score }) => (score.textContent = ""));
  }

  async complete() {
    const { prior, stacks } = this.live;
    const truth = stacks[this.slice.value];
    const pixels = prior.size ** 2;
    const given = observe(this.live, truth, this.given.map((select) => select.value), Number(this.slice.value));
    const running = new Running(truth.length);
    const began = performance.now();
    const [count, total] = [Number(this.samples.value), Number(this.samples.value) * prior.transitions.length];
    [this.running, this.stopped, this.button.textContent] = [true, false, "Stop"];
    this.show(truth);
    const seen = new Float64Array(truth.length);
    given.forEach((g, i) => seen.set(g.clean ?? g.measured?.adjoint ?? [], i * pixels));
    this.column("given", seen);
    for (let k = 0; k < count && !this.stopped; k++) {
      const sample = await sampleMDS(prior, given, normals(k + 1), async (number, estimate) => {
        this.column("this sample", estimate);
        const done = k * prior.transitions.length + number;
        const left = ((performance.now() - began) / done) * (total - done) / 1000;
        this.tell(`Sample ${k + 1} of ${count}, evaluation ${number} of ${prior.transitions.length}; about ${Math.ceil(left)} s left.`);
        await new Promise((resolve) => setTimeout(resolve)); // lets the browser draw
      });
      running.add(sample);
      this.column("this sample", sample);
      this.column("mean", running.mean);
      if (k) this.column("std", running.std, STD_SHOWN);
      this.cells.forEach(({ score }, i) => {
        const [ours, right] = [running.mean, truth].map((stack) => stack.subarray(i * pixels, (i + 1) * pixels));
        score.textContent = given[i].clean ? "given" : `${psnr(ours, right).toFixed(1)} dB`;
      });
    }
    const seconds = (performance.now() - began) / 1000;
    this.tell(`${running.samples} ${running.samples === 1 ? "sample" : "samples"} in ${seconds.toFixed(1)} s. The last column is the PSNR of their mean.`);
    Object.assign(this, { running: false, last: running });
    this.button.textContent = "Complete";
    this.root.dispatchEvent(new CustomEvent("completed", { detail: running }));
  }
}

document.querySelectorAll(".try-it").forEach((root) => (root.page = new Page(root)));
