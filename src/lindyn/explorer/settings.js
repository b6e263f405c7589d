// What can be set: controls with their ranges, choices, the presets and the stops of the tour.
const CONTROLS = [
  // name, label, smallest, largest, default, kind of scale or step
  ["d_out", "outputs d_out", 20, 1e9, 500, "log"],
  ["d_in", "inputs d_in", 20, 1e9, 500, "log"],
  ["rank", "rank K of the signal", 1, 10, 5, "int"],
  ["strength", "strength of the signal (1: unit entries)", 0.001, 10, 1, "log"],
  ["noise", "noise, deviation of an entry", 0, 3, 1, 0.05],
  ["gamma_v", "variance exponent γ_σ²  (σ² = d^γ)", -3, 0, -1.85, 0.01],
  ["gamma_w", "width exponent γ_w  (w = d^γ; r of an adapter)", 0, 2.8, 2.25, 0.01],
  ["rate", "learning rate, × the published rule", 0.1, 20, 1, "log"],
  ["steps", "gradient-descent steps", 10, 10000, 750, "logint"],
  ["decay", "weight decay μ, × (√d_out + √d_in)", 0, 3, 0, 0.05],
];
const CHOICES = {
  network: { 2: "two layers", 3: "three layers", 4: "four layers", lora: "LoRA adapter, B = 0" },
  axis: { steps: "steps", flow: "flow time" },
  scale: { linear: "linear", log: "logarithmic" },
  panel: { test: "smallest test error", rank: "stable rank there", steps: "steps until it", activity: "mean activity of the signal" },
};
const DEFAULTS = { ...Object.fromEntries(CONTROLS.map(c => [c[0], c[4]])), network: "2", axis: "steps", scale: "linear", panel: "test" };
const preset = changes => ({ ...DEFAULTS, d_out: 200, d_in: 200, ...changes });
const PRESETS = {
  "Figure 1 of the paper": preset({ d_out: 500, d_in: 500, rate: 10, steps: 100 }),
  "Deep in the active region": preset({ gamma_w: 2, gamma_v: -3 }),
  "Deep in the lazy region": preset({ d_out: 1000, d_in: 1000, gamma_v: -1.6, gamma_w: 2.8, steps: 400 }),
  "Nearly balanced start: it stalls": preset({ rank: 3, noise: 0.2, gamma_v: -3, gamma_w: 0.7 }),
  "Infinite noise": preset({ gamma_v: -0.5, gamma_w: 2.4, steps: 300 }),
  "Underparameterised": preset({ gamma_v: -1, gamma_w: 0.2, steps: 600 }),
  "Grokking by weight decay": preset({ gamma_v: -1.6, gamma_w: 2.8, decay: 1.2, steps: 4000, scale: "log" }),
  "Three layers": preset({ network: "3", gamma_v: -2, gamma_w: 2.2, steps: 400 }),
  "LoRA adapter": preset({ network: "lora", d_out: 1024, d_in: 1024, rank: 1, strength: 0.02, noise: 0, gamma_v: -1.16, gamma_w: 0.4, steps: 400 }),
};
const TOUR = [
  ["One number decides", "The dashed line is the threshold τ = σ²w. A mode below it is lazy (blue), a mode above it is active (orange). Here τ is far below the signal: the modes of the signal cross it one after the other and speed up, and training finds the signal before the noise.", "Deep in the active region"],
  ["Lazy training", "Now τ is above every singular value. All modes rise together, noise as fast as signal, and the test error stays high: no bias to low rank.", "Deep in the lazy region"],
  ["The paper's Figure 1", "In between, modes start lazily, which aligns them with the task; those that cross τ speed up. Noise follows, but later: the test error has a clear minimum, where training should stop.", "Figure 1 of the paper"],
  ["The price of going deeper", "The smaller τ, the longer a mode needs to get away from zero: the steps until the smallest test error grow with ln(1/τ). Near a balanced start nothing moves for long.", "Nearly balanced start: it stalls"],
  ["Where theory ends", "Below the yellow line the network is narrower than the rank of the signal and cannot hold it; beyond the red line the random start is as large as the signal. Hatched: one run can be further from the prediction than a tenth of the error of predicting zero. The shaded band says how far.", "Underparameterised"],
];
const state = { ...DEFAULTS };
const controlOf = name => CONTROLS.find(c => c[0] === name);
