// MDS with a noise level for each modality, as `a2a.mds` computes it with `noise_levels="per-modality"` (chapter "MDS").
// Images are Float64Array of n * H * W numbers in [0, 1]; states are in the model's range, [-1, 1] plus noise.
"use strict";

const toModel = (image) => image.map((v) => 2 * v - 1);
const toImage = (model) => model.map((v) => (v + 1) / 2);

// Standard normal numbers from a seed (mulberry32 and Box-Muller).
function normals(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return (count) =>
    Float64Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
}

// Sensitivity maps of a birdcage coil, as `a2a.forward.undersampling.birdcage_maps`.
function birdcage(coils, height, width, radius) {
  const maps = Array.from({ length: coils }, () => ({ re: new Float64Array(height * width), im: new Float64Array(height * width) }));
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      let total = 0;
      maps.forEach((map, c) => {
        const angle = (2 * Math.PI * c) / coils;
        const x = (2 * j) / width - 1 - radius * Math.cos(angle);
        const y = (2 * i) / height - 1 - radius * Math.sin(angle);
        const size = 1 / Math.hypot(x, y);
        const phase = Math.atan2(x, -y) - angle;
        map.re[i * width + j] = size * Math.cos(phase);
        map.im[i * width + j] = size * Math.sin(phase);
        total += size * size;
      });
      for (const map of maps) {
        map.re[i * width + j] /= Math.sqrt(total);
        map.im[i * width + j] /= Math.sqrt(total);
      }
    }
  }
  return maps;
}

// Multi-coil k-space in which every R-th line is measured. R pixels of a column fold onto one another and onto no others,
// so the Fourier transform along the lines left over changes nothing but names, and A^H A is a small matrix for each fold.
class Folding {
  constructor(maps, acceleration, height, width) {
    Object.assign(this, { maps, acceleration, height, width, folds: (height / acceleration) * width });
    const r = acceleration;
    this.blocks = new Float64Array(this.folds * r * r);
    for (let g = 0; g < this.folds; g++) {
      for (let j = 0; j < r; j++) {
        for (let k = 0; k < r; k++) {
          const [p, q] = [this.pixel(g, j), this.pixel(g, k)];
          let sum = 0;
          for (const { re, im } of maps) sum += re[p] * re[q] + im[p] * im[q];
          this.blocks[(g * r + j) * r + k] = sum / r;
        }
      }
    }
    this.trace = 0;
    for (let g = 0; g < this.folds; g++) for (let j = 0; j < r; j++) this.trace += this.blocks[(g * r + j) * r + j];
    this.numbers = 2 * maps.length * this.folds; // real numbers that are measured
  }

  pixel(fold, j) {
    return fold + j * this.folds;
  }

  // Measure an image: Re(A^H y) and ||y||^2 are all that the sampler needs of the data.
  measure(image, noiseStd, normal) {
    const [r, scale] = [this.acceleration, 1 / Math.sqrt(this.acceleration)];
    const adjoint = new Float64Array(image.length);
    let energy = 0;
    for (const { re, im } of this.maps) {
      const noise = normal(2 * this.folds);
      for (let g = 0; g < this.folds; g++) {
        let [a, b] = [noiseStd * noise[2 * g], noiseStd * noise[2 * g + 1]];
        for (let j = 0; j < r; j++) {
          const p = this.pixel(g, j);
          a += scale * re[p] * image[p];
          b += scale * im[p] * image[p];
        }
        energy += a * a + b * b;
        for (let j = 0; j < r; j++) {
          const p = this.pixel(g, j);
          adjoint[p] += scale * (re[p] * a + im[p] * b);
        }
      }
    }
    return { operator: this, adjoint, energy, noiseStd };
  }

  normal(image) {
    const [r, out] = [this.acceleration, new Float64Array(image.length)];
    for (let g = 0; g < this.folds; g++) {
      for (let j = 0; j < r; j++) {
        let sum = 0;
        for (let k = 0; k < r; k++) sum += this.blocks[(g * r + j) * r + k] * image[this.pixel(g, k)];
        out[this.pixel(g, j)] = sum;
      }
    }
    return out;
  }

  // Solve (A^H A + weight) x = right by Gaussian elimination in each fold.
  solve(right, weight) {
    const [r, out] = [this.acceleration, new Float64Array(right.length)];
    for (let g = 0; g < this.folds; g++) {
      const rows = Array.from({ length: r }, (_, j) =>
        [...Array.from({ length: r }, (_, k) => this.blocks[(g * r + j) * r + k] + (j === k ? weight : 0)), right[this.pixel(g, j)]]);
      for (let j = 0; j < r; j++) {
        for (let i = j + 1; i < r; i++) {
          const factor = rows[i][j] / rows[j][j];
          for (let k = j; k <= r; k++) rows[i][k] -= factor * rows[j][k];
        }
      }
      for (let j = r - 1; j >= 0; j--) {
        let sum = rows[j][r];
        for (let k = j + 1; k < r; k++) sum -= rows[j][k] * out[this.pixel(g, k)];
        out[this.pixel(g, j)] = sum / rows[j][j];
      }
    }
    return out;
  }
}

// Move a clean estimate of one measured modality to its data, by the weight that its own residual gives.
function corrected(image, { operator, adjoint, energy, noiseStd }) {
  const projected = operator.normal(image);
  let misfit = energy;
  image.forEach((v, i) => (misfit += v * (projected[i] - 2 * adjoint[i])));
  const variance = Math.max((Math.max(misfit, 0) - operator.numbers * noiseStd ** 2) / operator.trace, 0);
  const weight = noiseStd ** 2 / Math.max(variance, 1e-12);
  return operator.solve(adjoint.map((b, i) => b + weight * image[i]), weight);
}

// One posterior sample. `given` has, for each modality, {clean: image}, {measured: data} or {}; `predict(x, times, signal,
// spread)` is the network; `noise(count)` returns standard normal numbers; `onStep(number, estimate)` may show the estimate.
async function sampleMDS(prior, given, noise, onStep = () => {}) {
  const { abar, transitions, modalities, size } = prior;
  const [pixels, all] = [size * size, modalities.length * size * size];
  const part = (stack, i) => stack.subarray(i * pixels, (i + 1) * pixels);
  let x = noise(all);
  let estimate = null;
  for (const [number, [t, s]] of transitions.entries()) {
    const z = noise(all);
    const seen = x.slice();
    const times = given.map((g) => (g.clean ? 0 : t));
    given.forEach((g, i) => g.clean && part(seen, i).set(toModel(g.clean).map((v) => Math.sqrt(abar[0]) * v)));
    const x0 = await prior.predict(seen, times, times.map((u) => Math.sqrt(abar[u])), times.map((u) => Math.sqrt(1 - abar[u])));
    estimate = toImage(x0); // 1. predict
    given.forEach((g, i) => {
      if (g.clean) part(estimate, i).set(g.clean);
      if (g.measured) part(estimate, i).set(corrected(part(estimate, i), g.measured)); // 2. correct
    });
    const [a, b] = [abar[t], s < 0 ? 1 : abar[s]];
    const sigma = Math.sqrt((1 - b) / (1 - a)) * Math.sqrt(Math.max(1 - a / b, 0));
    const direction = Math.sqrt(Math.max(1 - b - sigma ** 2, 0));
    const eps = x.map((v, i) => (v - Math.sqrt(a) * x0[i]) / Math.sqrt(1 - a)); // the noise that the network's estimate leaves
    x = toModel(estimate).map((v, i) => Math.sqrt(b) * v + direction * eps[i] + sigma * z[i]); // 3. recombine
    await onStep(number + 1, estimate);
  }
  const sample = toImage(x.map((v) => Math.min(Math.max(v, -1), 1)));
  given.forEach((g, i) => g.clean && part(sample, i).set(g.clean));
  return sample;
}
