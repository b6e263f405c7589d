// The page: what is drawn and how it answers. All mathematics stands in the formulas above, which are translated.
const $ = id => document.getElementById(id);
const CONTROLS = [
  ["d_out", "outputs d_out", 20, 1e9, 500, "log"],
  ["d_in", "inputs d_in", 20, 1e9, 500, "log"],
  ["rank", "rank K of the signal", 1, 10, 5, "int"],
  ["strength", "strength of the signal (1: unit entries)", 0.1, 10, 1, "log"],
  ["noise", "noise, deviation of an entry", 0, 3, 1, 0.05],
  ["gamma_v", "variance exponent γ_σ²  (σ² = d^γ)", -3, 0, -1.85, 0.01],
  ["gamma_w", "width exponent γ_w  (w = d^γ)", 0, 2.8, 2.25, 0.01],
  ["rate", "learning rate, × the published rule", 0.1, 10, 1, "log"],
  ["steps", "gradient-descent steps", 10, 10000, 750, "logint"],
];
const CHOICES = { axis: ["steps", "flow time"], scale: ["linear", "log"], panel: ["test", "rank", "steps", "activity"] };
const PANELS = { test: "smallest test error", rank: "stable rank there", steps: "steps until it", activity: "mean activity of the signal" };
const PRESETS = {
  "Figure 1 of the paper": { d_out: 500, d_in: 500, rank: 5, strength: 1, noise: 1, gamma_v: -1.85, gamma_w: 2.25, rate: 4, steps: 250 },
  "Deep in the lazy region": { d_out: 200, d_in: 200, rank: 5, strength: 1, noise: 1, gamma_v: -1, gamma_w: 2.7, rate: 1, steps: 400 },
  "Deep in the active region": { d_out: 200, d_in: 200, rank: 5, strength: 1, noise: 1, gamma_v: -3, gamma_w: 2, rate: 1, steps: 750 },
  "Nearly balanced: it stalls": { d_out: 200, d_in: 200, rank: 3, strength: 1, noise: 0.2, gamma_v: -3, gamma_w: 0.7, rate: 1, steps: 750 },
  "Infinite noise": { d_out: 200, d_in: 200, rank: 5, strength: 1, noise: 1, gamma_v: -0.5, gamma_w: 2.4, rate: 1, steps: 300 },
  "Strong signal, wide layer": { d_out: 1000, d_in: 4000, rank: 4, strength: 2, noise: 1, gamma_v: -1.6, gamma_w: 2, rate: 1, steps: 600 },
};
const TOUR = [
  ["One number decides", "τ = σ²w, the dashed line. Modes below it are lazy (blue), modes above it active (orange). Here τ is far below the signal.", "Deep in the active region"],
  ["Lazy training", "Raise variance or width until τ is above every singular value: all modes rise together, noise as fast as signal, and the test error stays high.", "Deep in the lazy region"],
  ["The paper's Figure 1", "In between, modes start lazily and align; those that cross τ speed up, one after the other. Each step of the curve is a mode that crosses.", "Figure 1 of the paper"],
  ["What depth costs", "The smaller τ, the longer a mode needs to get away from zero: the steps until the smallest test error grow with ln(1/τ). Near a balanced start nothing moves for long.", "Nearly balanced: it stalls"],
  ["Where theory ends", "Beyond the red line the random start is as large as the signal, and the curves are approximate: hatched in the diagram. Below the yellow line the network is too narrow.", "Infinite noise"],
];
const state = Object.fromEntries(CONTROLS.map(c => [c[0], c[4]]));
Object.assign(state, { axis: "steps", scale: "linear", panel: "test" });
const round = (x, digits = 6) => Number(Number(x).toPrecision(digits));
const show = x => !Number.isFinite(x) ? "none" : Math.abs(x) >= 1e5 || (x !== 0 && Math.abs(x) < 1e-3) ? Number(x.toPrecision(3)).toExponential() : String(Number(x.toPrecision(4)));

/* ---- model: modes of the target, law, curves ---- */
function spectrum() {
  const { d_out, d_in, rank, strength, noise } = state;
  const unit = Math.sqrt(d_out * d_in) * strength, signal = TABLES.spectra[rank].map(v => round(v * unit));
  const problem = separate_(signal[rank - 1], noise, d_out, d_in, rank);
  const spikes = signal.map(s => outlier(s, noise, d_out, d_in));
  const found = spikes.filter(o => o[1] > 0).length;
  const small = Math.min(d_out, d_in) - found, large = Math.max(d_out, d_in) - found;
  const values = [], counts = [], projections = [];
  spikes.forEach(([place, overlap], k) => { if (overlap > 0) { values.push(place); counts.push(1); projections.push(signal[k] * overlap); } });
  if (noise > 0 && small > 0) {
    const nodes = TABLES.angles.map(phi => bulk(phi, small, large)), total = nodes.reduce((a, n) => a + n[1], 0);
    nodes.forEach(([x, weight]) => { values.push(noise * x); counts.push(small * weight / total); projections.push(0); });
  } else { values.push(0); counts.push(small); projections.push(0); }
  const energy = signal.reduce((a, s) => a + s * s, 0), edge = noise * (Math.sqrt(d_out) + Math.sqrt(d_in));
  return { signal, problem, values, counts, projections, energy, found, d: Math.sqrt(d_out * d_in), entries: d_out * d_in, top: Math.max(spikes[0][0], edge) };
}
function separate_(weakest, noise, d_out, d_in, rank) {
  if (noise === 0) return "";
  if (rank > Math.min(d_out, d_in) / 20) return `Rank ${rank} is over a twentieth of the smaller dimension, where the noise knows of the signal: the page's rule does not hold; use lindyn predict.`;
  if (weakest < 2 * noise * Math.sqrt(Math.sqrt(d_out * d_in))) return `The weakest mode, ${show(weakest)}, is not clear of the noise: the page's rule does not hold; use lindyn predict.`;
  return "";
}
function law(spec, gamma_v, gamma_w) {
  const variance = Math.pow(spec.d, gamma_v), width = Math.max(1, Math.round(Math.pow(spec.d, gamma_w)));
  const tau = threshold(variance, width), bound = stability(variance, width, state.d_out, state.d_in, spec.top, tau);
  const eta = state.rate * published(tau, spec.signal[0], Math.sqrt(spec.energy), bound);
  return { variance, width, tau, bound, eta, start: variance * variance * width };
}
function at(spec, l, time) {
  let train = 0, test = spec.energy, power = 0, active = 0;
  const n = spec.values.length;
  for (let i = 0; i < n; i++) {
    const m = mode(spec.values[i], l.tau, time), terms = error_terms(m, spec.values[i], spec.counts[i], spec.projections[i]);
    train += terms[0]; test += terms[1]; power += terms[2];
    if (m > l.tau) active += spec.counts[i];
  }
  const extra = residue(l.start, l.tau, time);
  return [train / spec.entries + extra, test / spec.entries + extra, stable_rank(power, mode(spec.top, l.tau, time), extra, state.d_out, state.d_in), active];
}
function best(spec, l) {
  let low = Infinity, step = 0, rank = 0;
  const visit = n => { const r = at(spec, l, n * l.eta); if (r[1] < low) { low = r[1]; step = n; rank = r[2]; } };
  for (let n = 0; n <= state.steps; n = Math.max(n + 1, Math.floor(n * 1.12))) visit(n);
  visit(state.steps);
  return { test: low, steps: step, rank };
}

/* ---- drawing ---- */
const X0 = 52, X1 = 446, Y0 = 230, Y1 = 12;
const esc = t => String(t).replace(/[&<>"]/g, c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
function ticks(low, high, log) {
  if (log) { const out = []; for (let e = Math.ceil(Math.log10(low) - 1e-9); e <= Math.log10(high) + 1e-9; e++) out.push(10 ** e); return out.length > 7 ? out.filter((_, i) => i % Math.ceil(out.length / 6) === 0) : out; }
  const raw = (high - low) / 5, base = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map(k => k * base).find(s => s >= raw), out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * step; v += step) out.push(round(v, 8));
  return out;
}
function frame(x, y, xl, yl) {
  let h = `<path d="M${X0} ${Y1}V${Y0}H${X1}" fill="none" stroke="#59636e"/>`;
  for (const v of x.ticks) h += `<path d="M${x.to(v).toFixed(1)} ${Y0}v4" stroke="#59636e"/><text x="${x.to(v).toFixed(1)}" y="${Y0 + 15}" text-anchor="middle">${show(v)}</text>`;
  for (const v of y.ticks) h += `<path d="M${X0} ${y.to(v).toFixed(1)}h-4" stroke="#59636e"/><text x="${X0 - 6}" y="${(y.to(v) + 4).toFixed(1)}" text-anchor="end">${show(v)}</text>`;
  return h + `<text x="${(X0 + X1) / 2}" y="${Y0 + 31}" text-anchor="middle" class="soft">${esc(xl)}</text><text transform="translate(11 ${(Y0 + Y1) / 2}) rotate(-90)" text-anchor="middle" class="soft">${esc(yl)}</text>`;
}
function scaleOf(low, high, a, b, log) {
  const f = log ? Math.log10 : v => v, l = f(low), h = f(high) === l ? l + 1 : f(high);
  return { to: v => a + (f(Math.max(v, log ? low : -Infinity)) - l) / (h - l) * (b - a), from: p => { const v = l + (p - a) / (b - a) * (h - l); return log ? 10 ** v : v; }, ticks: ticks(low, log ? high : low + (h - l), log) };
}
const line = (xs, ys, x, y, stroke, extra = "") => `<polyline fill="none" stroke="${stroke}" stroke-width="1.8" ${extra} points="${xs.map((v, i) => x.to(v).toFixed(1) + "," + y.to(ys[i]).toFixed(1)).join(" ")}"/>`;
let view = {}, cells = null, cellsKey = "", exact = null;
function times() {
  const n = 160, log = state.scale === "log", out = [];
  for (let i = 0; i <= n; i++) out.push(log ? Math.pow(state.steps, i / n) : state.steps * i / n);
  return out;
}
function draw() {
  const began = performance.now(), spec = spectrum(), l = law(spec, state.gamma_v, state.gamma_w);
  const steps = times(), curves = steps.map(n => at(spec, l, n * l.eta)), low = best(spec, l);
  view = { spec, law: l, steps, curves, best: low };
  const log = state.scale === "log", xs = state.axis === "steps" ? steps : steps.map(n => n * l.eta);
  const x = scaleOf(xs[0], xs[xs.length - 1], X0, X1, log), xl = state.axis === "steps" ? "gradient-descent step" : "flow time t = η · step, in units of 1/target";
  view.x = x; view.xs = xs;
  drawModes(spec, l, steps, xs, x, xl); drawErrors(curves, xs, x, xl, low, l); drawRank(curves, xs, x, xl, spec); drawMap(spec);
  facts(spec, l, low); code(spec); remember();
  window.last = { draws: window.last ? window.last.draws + 1 : 1, ms: performance.now() - began, ...view };
}
function drawModes(spec, l, steps, xs, x, xl) {
  const top = Math.max(...spec.values) * 1.05, y = scaleOf(0, top, Y0, Y1, false);
  const every = Math.max(1, Math.floor((spec.values.length - spec.found) / 6));
  let h = frame(x, y, xl, "learned singular value");
  spec.values.forEach((s, k) => {
    if (k >= spec.found && (k - spec.found) % every) return;
    const m = steps.map(n => mode(s, l.tau, n * l.eta)), turn = m.findIndex(v => v > l.tau), cut = turn < 0 ? m.length : turn;
    const thin = k >= spec.found ? 'stroke-opacity=".55" stroke-width="1"' : "";
    if (cut > 0) h += line(xs.slice(0, Math.min(cut + 1, m.length)), m.slice(0, cut + 1), x, y, "var(--lazy)", thin);
    if (cut < m.length) h += line(xs.slice(cut), m.slice(cut), x, y, "var(--active)", thin);
  });
  if (l.tau < top) h += `<path d="M${X0} ${y.to(l.tau).toFixed(1)}H${X1}" stroke="var(--tau)" stroke-dasharray="6 4"/><text x="${X1}" y="${(y.to(l.tau) - 4).toFixed(1)}" text-anchor="end" style="fill:var(--tau)">τ = ${show(l.tau)}</text>`;
  else h += `<text x="${X1}" y="${Y1 + 10}" text-anchor="end" style="fill:var(--tau)">τ = ${show(l.tau)}, above this figure: all lazy</text>`;
  $("modes").innerHTML = h; view.y_modes = y;
}
function drawErrors(curves, xs, x, xl, low, l) {
  const all = curves.flatMap(c => [c[0], c[1]]).filter(v => v > 0), top = Math.max(...all), bottom = Math.max(Math.min(...all), top * 1e-6) * 0.8;
  const y = scaleOf(bottom, top * 1.2, Y0, Y1, true);
  let h = frame(x, y, xl, "error per entry");
  h += line(xs, curves.map(c => c[0]), x, y, "var(--train)") + line(xs, curves.map(c => c[1]), x, y, "var(--test)");
  const bx = Math.max(state.axis === "steps" ? low.steps : low.steps * l.eta, xs[0]);
  h += `<circle cx="${x.to(bx).toFixed(1)}" cy="${y.to(low.test).toFixed(1)}" r="5" fill="none" stroke="var(--test)" stroke-width="2"/><text x="${Math.min(x.to(bx) + 8, X1 - 118).toFixed(1)}" y="${Math.min(y.to(low.test) + 16, Y0 - 4).toFixed(1)}">best ${show(low.test)} at step ${show(low.steps)}</text>`;
  if (exact) h += line(exact.x(l), exact.train, x, y, "#000", 'stroke-dasharray="2 3"') + line(exact.x(l), exact.test, x, y, "#000", 'stroke-dasharray="2 3"');
  $("err").innerHTML = h;
}
function drawRank(curves, xs, x, xl, spec) {
  const top = Math.max(2 * state.rank, ...curves.map(c => Math.min(c[2], 4 * state.rank))) * 1.05, y = scaleOf(0, top, Y0, Y1, false), cap = v => Math.min(v, top);
  let h = frame(x, y, xl, "number of modes");
  h += `<path d="M${X0} ${y.to(state.rank).toFixed(1)}H${X1}" stroke="#8c959f" stroke-dasharray="2 3"/><text x="${X1}" y="${(y.to(state.rank) - 4).toFixed(1)}" text-anchor="end" class="soft">rank of the signal</text>`;
  const most = Math.max(...curves.map(c => c[3]));
  if (most > top) h += `<text x="${X1}" y="${Y1 + 10}" text-anchor="end" class="soft">up to ${show(Math.round(most))} active modes: noise is learned</text>`;
  $("rank").innerHTML = h + line(xs, curves.map(c => cap(c[2])), x, y, "#6f42c1") + line(xs, curves.map(c => cap(c[3])), x, y, "var(--active)");
}
const GRID = 28, mapX = v => X0 + (v + 3) / 3 * (X1 - X0), mapY = v => Y0 + v / 2.8 * (Y1 - Y0);
function colour(u) { // viridis by five anchors
  const c = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], v = Math.max(0, Math.min(0.9999, u)) * 4, i = Math.floor(v), f = v - i;
  return `rgb(${c[i].map((a, k) => Math.round(a + f * (c[i + 1][k] - a))).join(",")})`;
}
function drawMap(spec) {
  const key = JSON.stringify([state.d_out, state.d_in, state.rank, state.strength, state.noise, state.rate, state.steps]);
  if (key !== cellsKey) {
    cells = []; cellsKey = key;
    for (let i = 0; i < GRID; i++) for (let j = 0; j < GRID; j++) {
      const gw = 2.8 * (i + 0.5) / GRID, gv = -3 + 3 * (j + 0.5) / GRID, l = law(spec, gv, gw), b = best(spec, l);
      const activity = spec.signal.reduce((a, s) => a + activity_of(s, l.tau), 0) / spec.signal.length;
      cells.push({ i, j, ...b, activity, noisy: l.start >= 1, narrow: l.width < state.rank });
    }
  }
  const tell = { test: c => 1 - Math.min(1, c.test / (spec.energy / spec.entries)), rank: c => Math.min(1, c.rank / (3 * state.rank)), steps: c => c.steps / state.steps, activity: c => c.activity }[state.panel];
  const w = (X1 - X0) / GRID, hgt = (Y0 - Y1) / GRID;
  let h = '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6" stroke="#fff" stroke-opacity=".65"/></pattern><clipPath id="inside"><rect x="' + X0 + '" y="' + Y1 + '" width="' + (X1 - X0) + '" height="' + (Y0 - Y1) + '"/></clipPath></defs>';
  for (const c of cells) {
    const px = X0 + c.j * w, py = Y0 - (c.i + 1) * hgt;
    h += `<rect x="${px.toFixed(1)}" y="${py.toFixed(1)}" width="${(w + 0.6).toFixed(1)}" height="${(hgt + 0.6).toFixed(1)}" fill="${colour(tell(c))}"/>`;
    if (c.noisy || c.narrow) h += `<rect x="${px.toFixed(1)}" y="${py.toFixed(1)}" width="${w.toFixed(1)}" height="${hgt.toFixed(1)}" fill="url(#hatch)"/>`;
  }
  const under = Math.log(state.rank) / Math.log(spec.d), path = f => [-3, 0].map(v => `${mapX(v)},${mapY(f(v))}`).join(" ");
  h += '<g clip-path="url(#inside)" fill="none" stroke-width="2.2">';
  for (const [f, c] of [[v => 1 - v, "#000"], [v => -2 * v, "#ff3030"], [() => under, "#ffb000"]]) h += `<polyline points="${path(f)}" stroke="#fff" stroke-width="4"/><polyline points="${path(f)}" stroke="${c}"/>`;
  h += `</g><g id="point"><circle cx="${mapX(state.gamma_v).toFixed(1)}" cy="${mapY(state.gamma_w).toFixed(1)}" r="7" fill="none" stroke="#fff" stroke-width="4"/><circle cx="${mapX(state.gamma_v).toFixed(1)}" cy="${mapY(state.gamma_w).toFixed(1)}" r="7" fill="none" stroke="#000" stroke-width="2"/></g>`;
  const x = { to: mapX, ticks: [-3, -2, -1, 0] }, y = { to: mapY, ticks: [0, 1, 2] };
  $("map").innerHTML = h + frame(x, y, "variance exponent γ_σ²", "width exponent γ_w");
  $("r_map").textContent = "black: σ²w = d, active below; red: σ⁴w = 1; yellow: w = rank; hatched: outside the theory. Shown: " + PANELS[state.panel] + ({ test: ", bright is small", rank: ", bright is large", steps: ", bright is late", activity: ", bright is active" })[state.panel];
}
function facts(spec, l, low) {
  const warn = [];
  if (spec.problem) warn.push(spec.problem);
  if (l.start >= 0.1) warn.push(`σ⁴w = ${show(l.start)}: the start is not small, its decay is approximate.`);
  if (l.width < Math.max(state.d_out, state.d_in)) warn.push(`Width ${show(l.width)} is below d: the formula needs w ≫ d.`);
  if (l.eta > 0.1 * l.bound && l.eta <= l.bound) warn.push(`Learning rate ${show(l.eta)} is over a tenth of the stability bound ${show(l.bound)}: the curves are those of the flow, which steps of this size leave; lindyn predict follows the steps.`);
  if (l.eta > l.bound) warn.push(`Learning rate ${show(l.eta)} is above the stability bound ${show(l.bound)}: descent diverges.`);
  $("facts").innerHTML = `τ = <b>${show(l.tau)}</b> (signal ${show(spec.signal[spec.signal.length - 1])} … ${show(spec.signal[0])}), w = ${l.width.toLocaleString("en")}, σ² = ${show(l.variance)}, η = ${show(l.eta)}; smallest test error <b>${show(low.test)}</b> at step ${show(low.steps)}, stable rank ${show(low.rank)} there.` + warn.map(t => `<br><span class="wrong">${esc(t)}</span>`).join("");
}
function code(spec) {
  const l = view.law;
  $("code").textContent = [
    "import lindyn as ld", "",
    `law = ld.laws.standard(width=${l.width}, variance=${l.variance})`,
    `run = ld.predict((${state.d_out}, ${state.d_in}), law, singular_values=[${spec.signal.join(", ")}],`,
    `                 noise=${state.noise}, learning_rate=${l.eta}, steps=${state.steps})`,
    "print(run)", "ld.plots.prediction(run)"].join("\n");
}

/* ---- controls, URL, exports ---- */
const isLog = kind => kind === "log" || kind === "logint";
const toSlider = (v, [, , lo, hi, , kind]) => isLog(kind) ? 1000 * Math.log(v / lo) / Math.log(hi / lo) : v;
function fromSlider(p, [, , lo, hi, , kind]) {
  if (kind === "int") return Math.round(p);
  if (!isLog(kind)) return round(p, 6);
  const v = lo * Math.pow(hi / lo, p / 1000);
  return kind === "logint" || lo >= 20 ? Math.round(round(v, 3)) : round(v, 3);
}
function problem(name, text) {
  const c = CONTROLS.find(k => k[0] === name), v = Number(text);
  if (text === "" || !Number.isFinite(v)) return `${name} must be a number, but it is "${text}".`;
  if (v < c[2] || v > c[3]) return `${name} must lie between ${show(c[2])} and ${show(c[3])}, but it is ${show(v)}.`;
  if (["int", "logint"].includes(c[5]) || name.startsWith("d_")) { if (!Number.isInteger(v)) return `${name} must be a whole number, but it is ${text}.`; }
  return "";
}
function set(name, value, quiet) { state[name] = value; exact = null; sync(name); if (!quiet) schedule(); }
function sync(name) {
  const c = CONTROLS.find(k => k[0] === name);
  if (!c) { const s = $("c_" + name) || $(name); if (s) s.value = state[name]; return; }
  $("c_" + name).value = toSlider(state[name], c); $("n_" + name).value = state[name]; $("w_" + name).textContent = "";
  $("c_" + name).setAttribute("aria-valuetext", show(state[name]));
}
let waiting = false;
function schedule() { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } }
function build() {
  let h = `<label for="preset">Start from</label><select id="preset"><option value="">own settings</option>${Object.keys(PRESETS).map(p => `<option>${esc(p)}</option>`).join("")}</select>`;
  for (const c of CONTROLS) {
    const [name, text, lo, hi, , kind] = c, log = isLog(kind), step = log ? 1 : kind === "int" ? 1 : kind;
    h += `<label for="c_${name}">${esc(text)}</label><div class="pair" style="grid-template-columns:1fr 6.2rem"><input type="range" id="c_${name}" min="${log ? 0 : lo}" max="${log ? 1000 : hi}" step="${step}"><input type="number" id="n_${name}" step="any" aria-label="${esc(text)}, as a number" aria-describedby="w_${name}"></div><p class="wrong" id="w_${name}" role="alert"></p>`;
  }
  h += '<div class="pair"><label>Time in<select id="c_axis"><option>steps</option><option>flow time</option></select></label><label>Time axis<select id="c_scale"><option>linear</option><option>log</option></select></label></div>';
  $("controls").innerHTML = h;
  $("panel").innerHTML = Object.entries(PANELS).map(([k, t]) => `<option value="${k}">${t}</option>`).join("");
  for (const c of CONTROLS) {
    const name = c[0];
    $("c_" + name).oninput = e => { $("preset").value = ""; set(name, fromSlider(Number(e.target.value), c)); };
    $("n_" + name).onchange = e => { const why = problem(name, e.target.value.trim()); $("w_" + name).textContent = why; if (!why) { $("preset").value = ""; set(name, Number(e.target.value)); } };
    sync(name);
  }
  for (const k of ["axis", "scale"]) { $("c_" + k).value = state[k]; $("c_" + k).onchange = e => set(k, e.target.value); }
  $("panel").value = state.panel; $("panel").onchange = e => set("panel", e.target.value);
  $("preset").onchange = e => { const p = PRESETS[e.target.value]; if (p) use(p); };
}
function use(preset) { for (const [k, v] of Object.entries(preset)) set(k, v, true); schedule(); }
function remember() {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(state)) q.set(k, v);
  history.replaceState(null, "", "#" + q);
}
function restore() {
  const q = new URLSearchParams(location.hash.slice(1)), wrong = {};
  for (const [k, v] of q) {
    if (CONTROLS.some(c => c[0] === k)) { const why = problem(k, v); if (why) wrong[k] = why; else state[k] = Number(v); }
    else if (CHOICES[k] && CHOICES[k].includes(v)) state[k] = v;
  }
  return wrong;
}
function save(name, type, text) { const a = document.createElement("a"); a.href = URL.createObjectURL(new Blob([text], { type })); a.download = name; a.click(); setTimeout(() => URL.revokeObjectURL(a.href), 1000); }
function figure() {
  const style = getComputedStyle(document.documentElement), parts = ["map", "modes", "err", "rank"].map((id, k) => `<g transform="translate(${(k % 2) * 470} ${Math.floor(k / 2) * 294 + 18})"><text x="230" y="-4" text-anchor="middle" font-weight="600">${esc($("h_" + id).textContent)}</text>${$(id).innerHTML}</g>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="940" height="600" viewBox="0 0 940 600" font-family="sans-serif" font-size="11"><rect width="940" height="600" fill="#fff"/>${parts.join("")}</svg>`.replace(/var\((--\w+)\)/g, (_, v) => style.getPropertyValue(v).trim());
}
function csv() {
  return "step,flow_time,train_error,test_error,stable_rank,active_modes\n" + view.steps.map((n, i) => [n, n * view.law.eta, ...view.curves[i]].join(",")).join("\n") + "\n";
}
function point(e) {
  const b = $("map").getBoundingClientRect(), px = (e.clientX - b.left) / b.width * 460, py = (e.clientY - b.top) / b.height * 274;
  const clamp = (v, lo, hi) => round(Math.max(lo, Math.min(hi, v)), 3);
  $("preset").value = ""; set("gamma_v", Math.round(100 * clamp(-3 + 3 * (px - X0) / (X1 - X0), -3, 0)) / 100, true); set("gamma_w", Math.round(100 * clamp(2.8 * (Y0 - py) / (Y0 - Y1), 0, 2.8)) / 100);
}
function hover(id, tell) {
  const node = $(id), out = $("r_" + id);
  node.addEventListener("pointermove", e => {
    const b = node.getBoundingClientRect(), at_ = view.x.from((e.clientX - b.left) / b.width * 460);
    let k = 0; view.xs.forEach((v, i) => { if (Math.abs(v - at_) < Math.abs(view.xs[k] - at_)) k = i; });
    out.textContent = `step ${show(view.steps[k])}, t = ${show(view.steps[k] * view.law.eta)}: ` + tell(k);
  });
}
let stop = 0;
function tour(k) {
  stop = Math.max(0, Math.min(TOUR.length - 1, k)); const [title, text, preset] = TOUR[stop];
  $("tour").hidden = false; $("tourtitle").textContent = `${stop + 1} of ${TOUR.length}: ${title}`; $("tourtext").textContent = text;
  $("tourback").disabled = stop === 0; $("tournext").disabled = stop === TOUR.length - 1; $("preset").value = preset; use(PRESETS[preset]);
}
function begin() {
  const wrong = restore(); build();
  for (const [k, why] of Object.entries(wrong)) $("w_" + k).textContent = why + " The value before is kept.";
  $("map").addEventListener("pointerdown", e => { $("map").setPointerCapture(e.pointerId); point(e); });
  $("map").addEventListener("pointermove", e => { if (e.buttons) point(e); });
  $("map").addEventListener("keydown", e => {
    const k = { ArrowLeft: ["gamma_v", -1], ArrowRight: ["gamma_v", 1], ArrowUp: ["gamma_w", 1], ArrowDown: ["gamma_w", -1] }[e.key]; if (!k) return;
    e.preventDefault(); const c = CONTROLS.find(q => q[0] === k[0]); $("preset").value = "";
    set(k[0], Math.round(100 * Math.max(c[2], Math.min(c[3], state[k[0]] + k[1] * (e.shiftKey ? 0.2 : 0.05)))) / 100);
  });
  hover("modes", k => view.spec.values.slice(0, view.spec.found).map((s, i) => `s${i + 1} = ${show(mode(s, view.law.tau, view.steps[k] * view.law.eta))}`).join(", "));
  hover("err", k => `train ${show(view.curves[k][0])}, test ${show(view.curves[k][1])} per entry`);
  hover("rank", k => `stable rank ${show(view.curves[k][2])}, ${show(view.curves[k][3])} active modes`);
  $("svgout").onclick = () => save("lindyn.svg", "image/svg+xml", figure());
  $("pngout").onclick = () => { const i = new Image(); i.onload = () => { const c = document.createElement("canvas"); c.width = 1880; c.height = 1200; c.getContext("2d").drawImage(i, 0, 0, 1880, 1200); c.toBlob(b => { const a = document.createElement("a"); a.href = URL.createObjectURL(b); a.download = "lindyn.png"; a.click(); }); }; i.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(figure()); };
  $("csvout").onclick = () => save("lindyn.csv", "text/csv", csv());
  $("copy").onclick = async () => { try { await navigator.clipboard.writeText($("code").textContent); $("copy").textContent = "Copied"; } catch { getSelection().selectAllChildren($("code")); $("copy").textContent = "Selected: press Ctrl-C"; } setTimeout(() => $("copy").textContent = "Copy Python", 2000); };
  $("tourstart").onclick = () => { tour(0); $("tournext").focus(); }; $("tournext").onclick = () => tour(stop + 1); $("tourback").onclick = () => tour(stop - 1); $("tourend").onclick = () => { $("tour").hidden = true; $("tourstart").focus(); };
  addEventListener("hashchange", () => { restore(); CONTROLS.forEach(c => sync(c[0])); schedule(); });
  draw();
}
begin();

/* ---- exact descent, where a server of the library stands behind the page ---- */
function wireDescent() {
  const button = $("descend"); if (!button) return;
  let running = null;
  button.onclick = async () => {
    if (running) { running.abort(); return; }
    running = new AbortController(); button.textContent = "Cancel";
    const { spec, law: l } = view, sent = { d_out: state.d_out, d_in: state.d_in, signal: spec.signal, noise: state.noise, variance: l.variance, width: l.width, eta: l.eta, steps: state.steps };
    try {
      const answer = await fetch("/descend", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent), signal: running.signal });
      const reader = answer.body.getReader(), decoder = new TextDecoder(); let text = "", end = null;
      for (;;) {
        const { done, value } = await reader.read(); if (done) break;
        text += decoder.decode(value, { stream: true }); const rows = text.split("\n"); text = rows.pop();
        for (const row of rows) { end = JSON.parse(row); if (end.done !== undefined) button.textContent = `Cancel (${Math.round(100 * end.done)} %)`; }
      }
      if (end.refused) throw new Error(end.refused);
      exact = { train: end.train_error, test: end.test_error, step: end.step, x: law_ => state.axis === "steps" ? end.step : end.step.map(n => n * law_.eta) };
      draw(); $("r_err").textContent = `Dotted: exact gradient descent in Python, ${end.status}.`;
    } catch (e) { $("r_err").textContent = e.name === "AbortError" ? "Cancelled." : e.message; }
    running = null; button.textContent = "Exact descent";
  };
}
wireDescent();
