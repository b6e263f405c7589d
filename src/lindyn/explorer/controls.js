// How the page answers: controls, the address, exports, the tour; and exact descent where a server stands behind it.
let view = {}, exact = null, map = { key: "", cells: null, task: null };
const PATIENCE = 30; // milliseconds of a frame for the map; what is left goes on in the next one

function draw() {
  const began = performance.now(), spec = spectrum(), l = law(spec, state.gamma_v, state.gamma_w), curves = curvesOf(spec, l);
  const xs = state.axis === "steps" ? curves.steps : curves.steps.map(n => n * l.eta), x = scaleOf(xs[0], xs[xs.length - 1], X0, X1, state.scale === "log");
  const xl = state.axis === "steps" ? "gradient-descent step" : "flow time t = η · step, in units of 1/(singular value)";
  view = { spec, law: l, curves, xs, x };
  document.querySelector(".views").classList.toggle("doubtful", spec.problem !== "");
  drawModes(view, x, xl); drawErrors(view, x, xl); drawRank(view, x, xl); progress(spec);
  if (reading !== null) readAt(reading);
  else if (!exact) $("r_err").textContent = curves.rows[0][4] >= 0 ? "Band: how far one run can be from the predicted test error." : "How far one run can be from these curves is not estimated here.";
  facts(view); code(view); remember();
  window.last = { draws: (window.last ? window.last.draws : 0) + 1, ms: performance.now() - began, steps: curves.steps, curves: curves.rows, best: curves.low, law: l, spec, how: curves.how, taus: curves.taus };
}
function progress(spec) {
  const { gamma_v, gamma_w, panel, axis, scale, ...rest } = state, key = JSON.stringify(rest);
  if (key !== map.key) map = { key, cells: map.cells, task: mapCells(spec) };
  const until = performance.now() + PATIENCE;
  while (map.task && performance.now() < until) { const { done, value } = map.task.next(); if (done) { map.cells = value; map.task = null; } }
  drawMap(spec, map.cells, map.task !== null);
  if (map.task) requestAnimationFrame(() => { if (map.key === key) progress(spec); });
}
function facts({ spec, law: l, curves }) {
  const warn = [], low = curves.low, row = curves.rows[curves.steps.reduce((b, n, k) => Math.abs(n - low.steps) < Math.abs(curves.steps[b] - low.steps) ? k : b, 0)], unit = spec.energy / spec.entries;
  if (spec.problem) warn.push(spec.problem);
  if (isAdapter()) {
    if (l.width < state.rank) warn.push(`An adapter of rank ${l.width} cannot hold the ${state.rank} modes of the target.`);
    else if (l.width > state.d_in / 8) warn.push(`Rank ${show(l.width)} is not narrow beside d_in = ${show(state.d_in)}: the rows of A are no longer orthogonal.`);
  } else {
    if (row[4] > TABLES.usable * unit) warn.push(`One run can be ${show(row[4])} from the smallest test error, over a tenth of the ${show(unit)} of predicting zero: outside the theory's range.`);
    if (l.start >= 0.1 * unit) warn.push(`A(0) has entries of variance ${show(l.start)}: not small beside the signal, and its decay is approximate.`);
    if (l.width < state.rank) warn.push(`Width ${l.width} is below the rank ${state.rank}: the network cannot go below a test error of ${show(sum(spec.signal, (s, k) => k >= l.width ? s * s : 0) / spec.entries)}, while the curve knows no width.`);
    else if (l.width < (depth() > 2 ? 10 : 1) * Math.max(state.d_out, state.d_in)) warn.push(`Width ${show(l.width)} is not large beside d: the formula needs w ≫ d.`);
  }
  if (l.eta > l.bound) warn.push(`Learning rate ${show(l.eta)} is above the stability bound ${show(l.bound)}: descent diverges.`);
  else if (curves.how === "flow" && l.share > TABLES.small_steps * 1.000001) warn.push(`Learning rate ${show(l.eta)} is over a tenth of the stability bound ${show(l.bound)}: steps of this size leave the flow, whose curves these are.`);
  const size = isAdapter() ? `r = ${l.width}, σ_A² = ${show(l.variance)}` : `w = ${l.width.toLocaleString("en")}, σ² = ${show(l.variance)}`, how = curves.how === "steps" ? "steps of descent at infinite width" : "flow";
  $("facts").innerHTML = `τ = <b>${show(l.tau)}</b> (target's modes ${show(spec.signal[spec.signal.length - 1])} … ${show(spec.signal[0])}), ${size}, η = ${show(l.eta)}${spec.decay > 0 ? `, μ = ${show(spec.decay)}` : ""}; smallest test error <b>${show(low.test)}${row[4] >= 0 ? ` ± ${show(row[4])}` : ""}</b> at step ${show(low.steps)}, stable rank ${show(row[2])} there. Curves: ${how}.` + warn.map(t => `<br><span class="wrong">${esc(t)}</span>`).join("");
}
function code({ spec, law: l }) {
  const text = isAdapter() ? [
    "import numpy as np", "import lindyn as ld", "",
    `d_out, d_in, r, signal = ${state.d_out}, ${state.d_in}, ${l.width}, [${spec.signal.join(", ")}]`,
    "k, c = len(signal), np.sqrt(r / d_in)  # overlap of a target direction with the rows of A",
    `a = np.sqrt(${2 * l.tau}) * np.eye(r, d_in)`,
    "right = c * np.eye(k, d_in) + np.sqrt(1 - c * c) * np.eye(k, d_in, r)",
    "run = ld.predict_factors((a, np.zeros((d_out, r))), (np.eye(d_out, k) * signal, right),",
    `                         learning_rate=${l.eta}, steps=${state.steps}, formula="narrow")`, "print(run)",
  ] : [
    "import lindyn as ld", "", `law = ld.laws.standard(width=${l.width}, variance=${l.variance})`,
    `run = ld.predict((${state.d_out}, ${state.d_in}), law, singular_values=[${spec.signal.join(", ")}],`,
    `                 noise=${state.noise}, learning_rate=${l.eta}, steps=${state.steps}` + (depth() > 2 ? `, depth=${depth()}` : "") + (spec.decay > 0 ? `, weight_decay=${spec.decay}` : "") + ")",
    "print(run)", "ld.plots.prediction(run)",
  ];
  $("code").textContent = text.join("\n");
}

/* controls */
const isLog = kind => kind === "log" || kind === "logint";
const toSlider = (v, [, , lo, hi, , kind]) => isLog(kind) ? 1000 * Math.log(v / lo) / Math.log(hi / lo) : v;
function fromSlider(p, [, , lo, hi, , kind]) {
  if (kind === "int") return Math.round(p);
  if (!isLog(kind)) return round(p, 6);
  const v = round(lo * Math.pow(hi / lo, p / 1000), 3);
  return kind === "logint" || lo >= 20 ? Math.round(v) : v;
}
function problem(name, text) {
  const c = controlOf(name), v = Number(text), most = highest(name);
  if (text === "" || !Number.isFinite(v)) return `${name} must be a number, but it is "${text}".`;
  if (v < c[2] || v > most) return `${name} must lie between ${show(c[2])} and ${show(most)}, but it is ${show(v)}.`;
  if ((["int", "logint"].includes(c[5]) || name.startsWith("d_")) && !Number.isInteger(v)) return `${name} must be a whole number, but it is ${text}.`;
  return "";
}
function tell(name, why) { $("w_" + name).textContent = why; $("n_" + name).setAttribute("aria-invalid", why ? "true" : "false"); }
function set(name, value, quiet) { state[name] = value; exact = null; sync(name); if (!quiet) schedule(); }
function sync(name) {
  const c = controlOf(name);
  if (!c) { $("c_" + name).value = state[name]; if (name === "network") idle(); return; }
  $("c_" + name).value = toSlider(state[name], c); $("n_" + name).value = state[name]; tell(name, "");
  $("c_" + name).setAttribute("aria-valuetext", show(state[name]));
}
function idle() { // what the chosen network does not use is said beside it
  const unused = { noise: isAdapter() ? "not used: the adapter's target is without noise" : "", decay: isAdapter() || depth() > 2 ? "not used: known for two layers only" : "" };
  for (const [name, why] of Object.entries(unused)) { for (const id of ["c_", "n_"]) $(id + name).disabled = why !== ""; $("u_" + name).textContent = why; }
}
let waiting = false;
function schedule() { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } }
const own = () => { $("preset").value = ""; };
function options(name) { return Object.entries(CHOICES[name]).map(([k, t]) => `<option value="${k}">${esc(t)}</option>`).join(""); }
function build() {
  $("preset").innerHTML = `<option value="">own settings</option>${Object.keys(PRESETS).map(p => `<option>${esc(p)}</option>`).join("")}`;
  let h = `<div class="wide"><label for="c_network">Network</label><select id="c_network">${options("network")}</select></div>`;
  for (const c of CONTROLS) {
    const [name, text, lo, hi, , kind] = c, log = isLog(kind), step = log || kind === "int" ? 1 : kind;
    h += `<div><label for="c_${name}">${esc(text)}</label><div class="pair slider"><input type="range" id="c_${name}" min="${log ? 0 : lo}" max="${log ? 1000 : hi}" step="${step}"><input type="number" id="n_${name}" step="any" aria-label="${esc(text)}, as a number" aria-describedby="w_${name}"></div><p class="unused" id="u_${name}"></p><p class="wrong" id="w_${name}" role="alert"></p></div>`;
  }
  h += `<div class="pair"><label>Time in<select id="c_axis">${options("axis")}</select></label><label>Time axis<select id="c_scale">${options("scale")}</select></label></div>`;
  $("controls").innerHTML = h; $("c_panel").innerHTML = options("panel");
  for (const c of CONTROLS) {
    const name = c[0];
    $("c_" + name).oninput = e => { own(); set(name, fromSlider(Number(e.target.value), c)); };
    $("n_" + name).onchange = e => { const why = problem(name, e.target.value.trim()); tell(name, why); if (!why) { own(); set(name, Number(e.target.value)); } };
    sync(name);
  }
  for (const k of Object.keys(CHOICES)) { sync(k); $("c_" + k).onchange = e => { if (k === "network") choose(e.target.value); else set(k, e.target.value); }; }
  $("preset").onchange = e => { const p = PRESETS[e.target.value]; if (p) use(p); };
}
function choose(network) { // an adapter has scales of its own: it starts from its preset, and what follows it from the first one
  own();
  if (network === "lora") use(PRESETS["LoRA adapter"]); else if (isAdapter()) use({ ...DEFAULTS, network }); else set("network", network);
}
function use(preset) { for (const [k, v] of Object.entries(preset)) if (k !== "panel") set(k, v, true); schedule(); }

/* the address: what differs from the defaults, in full digits */
function remember() {
  const q = Object.entries(state).filter(([k, v]) => v !== DEFAULTS[k]).map(([k, v]) => `${k}=${v}`).join("&");
  try { history.replaceState(null, "", "#" + q); } catch { /* in a frame that has no address of its own */ }
}
function restore() {
  const wrong = {};
  Object.assign(state, DEFAULTS);
  const asked = [...new URLSearchParams(location.hash.slice(1))];
  for (const [k, v] of asked) if (k === "network" && v in CHOICES[k]) state[k] = v; // it sets the ranges of the others
  if (isAdapter()) state.gamma_w = PRESETS["LoRA adapter"].gamma_w;
  for (const [k, v] of asked) {
    if (controlOf(k)) { const why = problem(k, v); if (why) wrong[k] = why; else state[k] = Number(v); }
    else if (CHOICES[k] && v in CHOICES[k]) state[k] = v;
  }
  return wrong;
}
function complain(wrong) { for (const [k, why] of Object.entries(wrong)) tell(k, why + " The default is kept."); }

/* exports */
function download(name, href) { const a = document.createElement("a"); a.href = href; a.download = name; a.click(); if (href.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(href), 1000); }
const save = (name, type, text) => download(name, URL.createObjectURL(new Blob([text], { type })));
function figure() {
  const style = getComputedStyle(document.documentElement);
  const keys = { map: CHOICES.panel[state.panel], modes: "blue lazy, orange active", err: "blue train, red test", rank: "violet stable rank, orange active modes" };
  const parts = ["map", "modes", "err", "rank"].map((id, k) => `<g transform="translate(${(k % 2) * 470} ${Math.floor(k / 2) * 290 + 18})"><text x="250" y="-2" text-anchor="middle"><tspan font-weight="600">${esc($("h_" + id).textContent)}</tspan> (${esc(keys[id])})</text>${$(id).innerHTML}</g>`);
  const caption = $("facts").innerText.replace(/(.{1,160})(\s|$)/g, "$1\n").trim().split("\n").map((row, k) => `<text x="12" y="${598 + 14 * k}" font-size="10">${esc(row)}</text>`);
  const css = ".soft{fill:#59636e}.halo{paint-order:stroke;stroke:#fff;stroke-width:3px}";
  return `<svg xmlns="http://www.w3.org/2000/svg" width="940" height="650" viewBox="0 0 940 650" font-family="sans-serif" font-size="11"><style>${css}</style><rect width="940" height="650" fill="#fff"/>${parts.join("")}${caption.join("")}</svg>`.replace(/var\((--\w+)\)/g, (_, v) => style.getPropertyValue(v).trim());
}
function png() {
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas"); canvas.width = 1880; canvas.height = 1300;
    canvas.getContext("2d").drawImage(image, 0, 0, 1880, 1300);
    canvas.toBlob(blob => download("lindyn.png", URL.createObjectURL(blob)));
  };
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(figure());
}
function csv() {
  const signal = isAdapter() ? view.spec.signal.length : view.spec.found, names = Array.from({ length: signal }, (_, k) => `signal_mode_${k + 1}`);
  const rows = view.curves.steps.map((n, k) => [n, n * view.law.eta, ...view.curves.rows[k], view.curves.taus[k], ...Array.from(view.curves.modes[k]).slice(0, signal)].join(","));
  return ["step,flow_time,train_error,test_error,stable_rank,active_modes,error_estimate,threshold," + names.join(","), ...rows, ...(view.spec.problem ? ["# " + view.spec.problem] : [])].join("\n") + "\n";
}
async function copy() {
  try { await navigator.clipboard.writeText($("code").textContent); $("copy").textContent = "Copied"; }
  catch { getSelection().selectAllChildren($("code")); $("copy").textContent = "Selected: press Ctrl-C"; }
  setTimeout(() => { $("copy").textContent = "Copy Python"; }, 2000);
}

/* the pictures under pointer and keys */
const limited = (name, v) => { const c = controlOf(name); return Math.round(100 * Math.max(c[2], Math.min(highest(name), v))) / 100; };
function pick(gamma_v, gamma_w) { own(); set("gamma_v", limited("gamma_v", gamma_v), true); set("gamma_w", limited("gamma_w", gamma_w)); }
function placeOf(e) { const b = e.currentTarget.getBoundingClientRect(); return [(e.clientX - b.left) / b.width * WIDE, (e.clientY - b.top) / b.height * HIGH]; }
function pickAt(e) { const [px, py] = placeOf(e); pick(-3 + 3 * (px - X0) / (X1 - X0), highest("gamma_w") * (Y0 - py) / (Y0 - Y1)); }
function wirePictures() {
  $("map").addEventListener("pointerdown", e => { $("map").setPointerCapture(e.pointerId); pickAt(e); });
  $("map").addEventListener("pointermove", e => { if (e.buttons) pickAt(e); });
  $("map").addEventListener("keydown", e => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key], by = e.shiftKey ? 0.2 : 0.05;
    if (move) { e.preventDefault(); pick(state.gamma_v + move[0] * by, state.gamma_w + move[1] * by); }
  });
  for (const id of ["modes", "err", "rank"]) {
    $(id).addEventListener("pointermove", e => {
      const at = view.x.from(placeOf(e)[0]); let k = 0;
      view.xs.forEach((v, n) => { if (Math.abs(v - at) < Math.abs(view.xs[k] - at)) k = n; });
      readAt(k);
    });
    $(id).addEventListener("keydown", e => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 }[e.key];
      if (by) { e.preventDefault(); readAt((reading === null ? 0 : reading) + by); }
    });
  }
}

let stop = 0;
function tour(k) {
  stop = Math.max(0, Math.min(TOUR.length - 1, k)); const [title, text, preset] = TOUR[stop];
  $("tour").hidden = false; $("tourtitle").textContent = `${stop + 1} of ${TOUR.length}: ${title}`; $("tourtext").textContent = text;
  $("tourback").disabled = stop === 0; $("tournext").disabled = stop === TOUR.length - 1; $("preset").value = preset; use(PRESETS[preset]);
}
function wireTour() {
  $("tourstart").onclick = () => { tour(0); $("tournext").focus(); }; $("tournext").onclick = () => tour(stop + 1); $("tourback").onclick = () => tour(stop - 1);
  $("tourend").onclick = () => { $("tour").hidden = true; $("tourstart").focus(); };
}

/* exact descent, where a server of the library stands behind the page */
async function follow(answer, button) {
  const reader = answer.body.getReader(), decoder = new TextDecoder(); let text = "", end = {};
  for (;;) {
    const { done, value } = await reader.read(); if (done) return end;
    text += decoder.decode(value, { stream: true }); const rows = text.split("\n"); text = rows.pop();
    for (const row of rows) { end = JSON.parse(row); if (end.done !== undefined) button.textContent = `Cancel (${Math.round(100 * end.done)} %)`; }
  }
}
function wireDescent() {
  const button = $("descend"); if (!button) return;
  let running = null;
  button.onclick = async () => {
    if (running) { running.abort(); return; }
    const { spec, law: l } = view;
    if (isAdapter() || depth() > 2) { $("r_err").textContent = "Exact descent is offered for two layers here; lindyn simulate knows the others."; return; }
    running = new AbortController(); button.textContent = "Cancel";
    const sent = { d_out: state.d_out, d_in: state.d_in, signal: spec.signal, noise: spec.noise, variance: l.variance, width: l.width, eta: l.eta, steps: state.steps, decay: spec.decay };
    try {
      const end = await follow(await fetch("/descend", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent), signal: running.signal }), button);
      if (end.refused) throw new Error(end.refused);
      exact = { train: end.train_error, test: end.test_error, step: end.step };
      draw(); $("r_err").textContent = `Dotted: exact gradient descent in Python, ${end.status}.`;
    } catch (e) { $("r_err").textContent = e.name === "AbortError" ? "Cancelled." : e.message; }
    running = null; button.textContent = "Exact descent";
  };
}

function begin() {
  const wrong = restore(); build(); complain(wrong); wirePictures(); wireTour(); wireDescent();
  if (innerWidth <= 900) $("settings").open = false;
  $("svgout").onclick = () => save("lindyn.svg", "image/svg+xml", figure()); $("csvout").onclick = () => save("lindyn.csv", "text/csv", csv());
  $("pngout").onclick = png; $("copy").onclick = copy;
  addEventListener("hashchange", () => { const late = restore(); own(); CONTROLS.forEach(c => sync(c[0])); Object.keys(CHOICES).forEach(sync); complain(late); schedule(); });
  draw();
}
begin();
