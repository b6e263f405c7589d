// The four pictures, as SVG: the map, singular values, errors, rank.
const $ = id => document.getElementById(id);
const X0 = 52, X1 = 446, Y0 = 230, Y1 = 12, WIDE = 460, HIGH = 266;
const esc = t => String(t).replace(/[&<>"]/g, c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const show = x => !Number.isFinite(x) ? "none" : Math.abs(x) >= 1e5 || (x !== 0 && Math.abs(x) < 1e-3) ? Number(x.toPrecision(3)).toExponential() : String(Number(x.toPrecision(4)));
const LOGARITHMS = 7; // most ticks on a logarithmic axis
const FAR = 1e-6; // what lies below a logarithmic axis is drawn this far below it at most, and cut off

function ticks(low, high, log) {
  const out = [];
  if (log) {
    for (let e = Math.ceil(Math.log10(low) - 1e-9); e <= Math.log10(high) + 1e-9; e++) out.push(10 ** e);
    return out.length > LOGARITHMS ? out.filter((_, k) => k % Math.ceil(out.length / LOGARITHMS) === 0) : out;
  }
  const raw = (high - low) / 5, base = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map(k => k * base).find(s => s >= raw);
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * step; v += step) out.push(round(v, 8));
  return out;
}
function scaleOf(low, high, a, b, log) {
  const f = log ? Math.log10 : v => v, l = f(low), h = f(high) === l ? l + 1 : f(high);
  return {
    to: v => a + (f(Math.max(v, log ? low * FAR : -Infinity)) - l) / (h - l) * (b - a),
    from: p => { const v = l + (p - a) / (b - a) * (h - l); return log ? 10 ** v : v; },
    ticks: ticks(low, log ? high : low + (h - l), log),
  };
}
function frame(x, y, xl, yl) {
  let h = `<path d="M${X0} ${Y1}V${Y0}H${X1}" fill="none" stroke="#59636e"/>`;
  for (const v of x.ticks) h += `<path d="M${x.to(v).toFixed(1)} ${Y0}v4" stroke="#59636e"/><text x="${x.to(v).toFixed(1)}" y="${Y0 + 15}" text-anchor="middle">${show(v)}</text>`;
  for (const v of y.ticks) h += `<path d="M${X0} ${y.to(v).toFixed(1)}h-4" stroke="#59636e"/><text x="${X0 - 6}" y="${(y.to(v) + 4).toFixed(1)}" text-anchor="end">${show(v)}</text>`;
  return h + `<text x="${(X0 + X1) / 2}" y="${Y0 + 32}" text-anchor="middle" class="soft">${esc(xl)}</text><text transform="translate(11 ${(Y0 + Y1) / 2}) rotate(-90)" text-anchor="middle" class="soft">${esc(yl)}</text>`;
}
const points = (xs, ys, x, y) => xs.map((v, k) => x.to(v).toFixed(1) + "," + y.to(ys[k]).toFixed(1)).join(" ");
const line = (xs, ys, x, y, stroke, extra = "") => `<polyline fill="none" stroke="${stroke}" stroke-width="1.8" ${extra} points="${points(xs, ys, x, y)}"/>`;
const note = (x, y, text, anchor = "end", style = "") => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" ${style}>${esc(text)}</text>`;

function drawModes(v, x, xl) {
  const { spec, law: l, xs, curves } = v, shown = isAdapter() ? spec.signal : spec.values, found = isAdapter() ? shown.length : spec.found;
  const top = Math.max(...shown, ...curves.modes.flatMap(m => m[0])) * 1.05, y = scaleOf(0, top, Y0, Y1, false), every = Math.max(1, Math.floor((shown.length - found) / 6));
  let h = frame(x, y, xl, "learned singular value");
  shown.forEach((_, k) => {
    if (k >= found && (k - found) % every) return;
    const m = curves.modes.map(row => row[k]), thin = k >= found ? 'stroke-opacity=".55" stroke-width="1"' : "";
    for (let from = 0; from < m.length - 1;) { // pieces of one colour: a mode can cross τ, or τ the mode
      const active = m[from] > curves.taus[from]; let to = from + 1;
      while (to < m.length - 1 && (m[to] > curves.taus[to]) === active) to++;
      h += line(xs.slice(from, to + 1), m.slice(from, to + 1), x, y, active ? "var(--active)" : "var(--lazy)", thin);
      from = to;
    }
  });
  if (curves.taus.some(t => t < top)) {
    const shownTau = curves.taus.map((t, k) => [xs[k], t]).filter(p => p[1] < top);
    h += line(shownTau.map(p => p[0]), shownTau.map(p => p[1]), x, y, "var(--tau)", 'stroke-dasharray="6 4"');
    const last = curves.taus[curves.taus.length - 1], above = y.to(last) - 5 < Y1 + 10 ? 14 : -5;
    h += note(X1, y.to(last) + above, `τ = ${show(l.tau)}` + (spec.decay > 0 ? `, decays to ${show(last)}` : ""), "end", 'style="fill:var(--tau)" class="halo"');
  } else h += note(X1, Y1 + 10, `τ = ${show(l.tau)}, above this figure: all lazy`, "end", 'style="fill:var(--tau)" class="halo"');
  $("modes").innerHTML = h;
}
function drawErrors(v, x, xl) {
  const { xs, curves, law: l } = v, train = curves.rows.map(r => r[0]), test = curves.rows.map(r => r[1]), all = [...train, ...test].filter(e => e > 0 && e < Infinity);
  const top = Math.max(...all), bottom = Math.max(Math.min(...all), top * 1e-6) * 0.8, y = scaleOf(bottom, top * 1.2, Y0, Y1, true);
  const finite = e => Math.min(Number.isFinite(e) ? e : top * 1.2, top * 1.2);
  let h = frame(x, y, xl, "error per entry") + '<g clip-path="url(#inside)">';
  if (curves.rows.some(r => r[4] > 0)) {
    const up = points(xs, curves.rows.map(r => finite(r[1] + r[4])), x, y), down = points(xs, curves.rows.map(r => Math.max(finite(r[1]) - finite(r[4]), bottom)), x, y);
    h += `<polygon fill="var(--test)" fill-opacity=".16" points="${up} ${down.split(" ").reverse().join(" ")}"/>`;
  }
  h += line(xs, train.map(finite), x, y, "var(--train)") + line(xs, test.map(finite), x, y, "var(--test)");
  if (exact) for (const name of ["train", "test"]) h += line(exact.step.map(n => state.axis === "steps" ? n : n * l.eta), exact[name], x, y, "#000", 'stroke-dasharray="2 3"');
  h += "</g>";
  const low = curves.low, bx = x.to(Math.max(state.axis === "steps" ? low.steps : low.steps * l.eta, xs[0])), by = y.to(low.test), right = bx > X1 - 130;
  h += `<circle cx="${bx.toFixed(1)}" cy="${by.toFixed(1)}" r="5" fill="none" stroke="var(--test)" stroke-width="2"/>`;
  h += note(right ? bx - 9 : bx + 9, by > Y0 - 22 ? by - 9 : by + 16, `best ${show(low.test)} at step ${show(low.steps)}`, right ? "end" : "start", 'class="halo"');
  $("err").innerHTML = h;
}
function drawRank(v, x, xl) {
  const { xs, curves } = v, stable = curves.rows.map(r => r[2]), active = curves.rows.map(r => r[3]), most = Math.max(...active);
  const top = Math.max(2 * state.rank, ...stable.map(r => Math.min(r, 4 * state.rank))) * 1.05, y = scaleOf(0, top, Y0, Y1, false);
  let h = frame(x, y, xl, "number of modes");
  h += `<path d="M${X0} ${y.to(state.rank).toFixed(1)}H${X1}" stroke="#8c959f" stroke-dasharray="2 3"/>`;
  h += `<g clip-path="url(#inside)">${line(xs, stable, x, y, "#6f42c1")}${line(xs, active, x, y, "var(--active)")}</g>`;
  h += note(X1, y.to(state.rank) - 4, "rank of the signal", "end", 'class="soft halo"');
  if (most > top) h += note(X1, Y1 + 14, `up to ${show(Math.round(most))} modes above τ` + (v.spec.decay > 0 ? ", which decays" : ", noise among them"), "end", 'class="soft halo"');
  $("rank").innerHTML = h;
}

const highest = name => name === "gamma_w" && isAdapter() ? 1 : controlOf(name)[3]; // an adapter of rank r = d is not narrow
const mapX = v => X0 + (v + 3) / 3 * (X1 - X0), mapY = v => Y0 + v / highest("gamma_w") * (Y1 - Y0);
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
function colour(u) {
  const v = Math.max(0, Math.min(0.9999, u)) * 4, k = Math.floor(v), f = v - k;
  return VIRIDIS[k].map((a, n) => Math.round(a + f * (VIRIDIS[k + 1][n] - a)));
}
const SHADES = { // of a cell, from 0 to 1, and what the ends mean
  test: (c, spec) => 1 - Math.min(1, c.test / (spec.energy / spec.entries)), rank: c => Math.min(1, c.rank / (3 * state.rank)),
  steps: c => c.steps / state.steps, activity: c => c.activity,
};
const ENDS = {
  test: spec => [`≥ ${show(spec.energy / spec.entries)}, as of predicting zero`, "0"], rank: () => ["0", `≥ ${3 * state.rank}`],
  steps: () => ["0", show(state.steps)], activity: () => ["0, lazy", "1, active"],
};
function mapPicture(cells, spec) { // one pixel a cell
  const canvas = document.createElement("canvas"), shade = SHADES[state.panel]; canvas.width = COLUMNS; canvas.height = ROWS;
  const context = canvas.getContext("2d"), image = context.createImageData(COLUMNS, ROWS);
  for (const c of cells) {
    const at = 4 * ((ROWS - 1 - c.i) * COLUMNS + c.j), rgb = c.diverges ? [150, 150, 150] : colour(shade(c, spec));
    image.data.set([...rgb, 255], at);
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}
function theoryLines(spec) { // active below black, start of the signal's size beyond red, too narrow below yellow; in exponents
  const layers = depth(), s = Math.log(spec.signal[0]) / Math.log(spec.d), narrow = [[-3, Math.log(state.rank) / Math.log(spec.d)], [0, Math.log(state.rank) / Math.log(spec.d)]];
  if (isAdapter()) {
    const g = s + Math.log(2 / (state.d_in / spec.d)) / Math.log(spec.d) - 1;
    return [[[[g, 0], [g, 2.8]], "#000"], [narrow, "#ffb000"]];
  }
  return [[[-3, 0].map(v => [v, 2 / layers - v]), "#000"], [[-3, 0].map(v => [v, -layers * v / (layers - 1)]), "#ff3030"], [narrow, "#ffb000"]];
}
function drawMap(spec, cells, stale) {
  const w = (X1 - X0) / COLUMNS, high = (Y0 - Y1) / ROWS;
  let h = `<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6" stroke="#000" stroke-opacity=".35" stroke-width="2.4"/><path d="M0 0V6" stroke="#fff" stroke-opacity=".85" stroke-width="1.1"/></pattern><clipPath id="inside"><rect x="${X0}" y="${Y1}" width="${X1 - X0}" height="${Y0 - Y1}"/></clipPath></defs>`;
  if (cells) {
    h += `<image href="${mapPicture(cells, spec)}" x="${X0}" y="${Y1}" width="${X1 - X0}" height="${Y0 - Y1}" preserveAspectRatio="none" style="image-rendering:pixelated" opacity="${stale ? 0.4 : 1}"/>`;
    const hatched = cells.filter(c => c.outside || c.diverges).map(c => `M${(X0 + c.j * w).toFixed(1)} ${(Y0 - c.i * high).toFixed(1)}h${w.toFixed(2)}v${(-high).toFixed(2)}h${(-w).toFixed(2)}z`);
    h += `<path d="${hatched.join("")}" fill="url(#hatch)"/>`;
  }
  h += '<g clip-path="url(#inside)" fill="none" stroke-width="2.2">';
  for (const [ends, stroke] of theoryLines(spec)) {
    const path = ends.map(([a, b]) => `${mapX(a).toFixed(1)},${mapY(b).toFixed(1)}`).join(" ");
    h += `<polyline points="${path}" stroke="#fff" stroke-width="4"/><polyline points="${path}" stroke="${stroke}"/>`;
  }
  const at = `cx="${mapX(state.gamma_v).toFixed(1)}" cy="${mapY(state.gamma_w).toFixed(1)}" r="7" fill="none"`;
  h += `</g><g id="point"><circle ${at} stroke="#fff" stroke-width="4.5"/><circle ${at} stroke="#000" stroke-width="2"/></g>`;
  const adapter = isAdapter();
  $("map").innerHTML = h + frame({ to: mapX, ticks: [-3, -2, -1, 0] }, { to: mapY, ticks: adapter ? [0, 0.5, 1] : [0, 1, 2] }, adapter ? "variance exponent of A, γ_σ²" : "variance exponent γ_σ²", adapter ? "rank exponent γ_r" : "width exponent γ_w");
  const [low, high_] = ENDS[state.panel](spec), line_ = depth() === 2 ? "σ²w = d" : `(σ²w)^(${depth()}/2) = d`;
  const black = adapter ? "black: τ = largest target mode" : `black: ${line_}, active below`, red = adapter ? "" : " red: A(0) as large as the signal;";
  $("r_map").innerHTML = `${esc(CHOICES.panel[state.panel])}: ${esc(low)} <span class="ramp"></span> ${esc(high_)}<br>${black};${red} yellow: ${adapter ? "r" : "w"} = rank. Hatched: outside the theory${adapter ? " of narrow adapters" : ""}` + (cells && cells.some(c => c.diverges) ? "; grey: descent diverges" : "") + (stale ? ". Computing …" : "");
}

/* a reading line through the three curves, by pointer or by arrow keys */
let reading = null;
function readAt(k) {
  reading = Math.max(0, Math.min(view.xs.length - 1, k));
  const { curves, xs, x, spec, law: l } = view, n = curves.steps[reading], row = curves.rows[reading], where = `step ${show(n)}, t = ${show(n * l.eta)}: `;
  for (const id of ["modes", "err", "rank"]) {
    const old = $(id).querySelector(".reading"); if (old) old.remove();
    $(id).insertAdjacentHTML("beforeend", `<path class="reading" d="M${x.to(xs[reading]).toFixed(1)} ${Y1}V${Y0}" stroke="#1b1f24" stroke-opacity=".55"/>`);
  }
  const signal = isAdapter() ? spec.signal.length : spec.found, tau = curves.taus[reading];
  $("r_modes").textContent = where + Array.from(curves.modes[reading]).slice(0, signal).map((m, i) => `s${i + 1} = ${show(m)} ${m > tau ? "active" : "lazy"}`).join(", ") + ", in units of a singular value of the target";
  $("r_err").textContent = where + `train ${show(row[0])}, test ${show(row[1])}` + (row[4] >= 0 ? ` ± ${show(row[4])} for one run` : "") + ", squares per entry";
  $("r_rank").textContent = where + `stable rank ${show(row[2])}, ${show(Math.round(row[3]))} modes above τ = ${show(tau)}`;
}
