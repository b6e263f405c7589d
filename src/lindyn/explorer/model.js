// The model: modes of the target, the law of the start, curves, the map. Its formulas are those above, translated.
const depth = () => state.network === "lora" ? 2 : Number(state.network);
const isAdapter = () => state.network === "lora";
const round = (x, digits = 6) => Number(Number(x).toPrecision(digits));
const sum = (values, of) => { let total = 0; for (let k = 0; k < values.length; k++) total += of(values[k], k); return total; };

function spectrum() {
  const { d_out, d_in, rank, strength } = state, noise = isAdapter() ? 0 : state.noise, d = Math.sqrt(d_out * d_in);
  const signal = TABLES.spectra[rank].map(v => round(v * d * strength)), spikes = signal.map(s => outlier(s, noise, d_out, d_in));
  const found = spikes.filter(o => o[1] > 0).length, values = [], counts = [], projections = [];
  const small = Math.min(d_out, d_in) - found, large = Math.max(d_out, d_in) - found;
  const merged = noise > 0 && !separate(signal, noise), solution = merged ? equivalent(signal, noise, d_out, d_in) : null;
  // where the bulk knows of A*, outliers and the largest mode are drawn, and count for nothing beside the nodes
  spikes.forEach(([place, overlap], k) => { if (overlap > 0) { values.push(place); counts.push(merged ? 0 : 1); projections.push(merged ? 0 : signal[k] * overlap); } });
  if (merged && solution.nodes.length) { values.push(typicalTop(solution.nodes)); counts.push(0); projections.push(0); }
  if (merged) for (const [x, count, known] of solution.nodes) { values.push(x); counts.push(count); projections.push(known); }
  else if (noise > 0 && small > 0) {
    const nodes = TABLES.angles.map(phi => bulk(phi, small, large)), total = sum(nodes, n => n[1]);
    for (const [x, weight] of nodes) { values.push(noise * x); counts.push(small * weight / total); projections.push(0); }
  }
  const edge = noise * (Math.sqrt(d_out) + Math.sqrt(d_in));
  const first = merged ? found : values.indexOf(Math.max(...values)), top = merged ? values[found] : Math.max(spikes[0][0], edge);
  const decay = depth() === 2 && !isAdapter() ? state.decay * (Math.sqrt(d_out) + Math.sqrt(d_in)) : 0;
  return { signal, noise, values, counts, projections, found, d, top, first, decay, energy: sum(signal, s => s * s), entries: d_out * d_in, merged, problem: merged && !(solution.accuracy < TABLES.equivalent.unusable) ? "The spectrum of signal and noise cannot be resolved here." : "" };
}
function separate(signal, noise) { // few modes, each well above detection: the rule of outliers; else (5.1)
  const { d_out, d_in } = state, { few, clear } = TABLES.equivalent, detectable = noise * Math.pow(d_out * d_in, 0.25);
  return signal.length <= few * Math.min(d_out, d_in) && signal.every(s => s >= clear * detectable);
}

function law(spec, gamma_v, gamma_w, whole = true) {
  const { d_out, d_in } = state, variance = Math.pow(spec.d, gamma_v), power = Math.pow(spec.d, gamma_w), size = Math.sqrt(spec.energy);
  const width = Math.max(1, whole ? Math.round(power) : power), found = { variance, width, start: variance * variance * width };
  if (isAdapter()) {
    found.tau = adapter_threshold(variance, d_in, d_out); found.start = 0; found.overlap = Math.min(1, width / d_in);
    found.bound = stability(variance, 0, width, d_out, d_in, spec.top, found.tau);
  } else if (depth() > 2) {
    [found.tau, found.start] = equal_layers(variance, width, depth());
    found.bound = deep_stability(found.tau, width, spec.top, d_out, d_in, depth());
  } else {
    found.tau = threshold(variance, width);
    found.bound = stability(variance, variance, width, d_out, d_in, spec.top, found.tau);
  }
  const rule = depth() > 2 ? deep_published(found.tau, spec.signal[0], size, found.bound, depth()) : published(found.tau, spec.signal[0], size, found.bound);
  return { ...found, eta: state.rate * rule, share: state.rate * rule * Math.hypot(spec.top, found.tau) };
}

/* the deep mode curve: the library's table, and its local polynomials on it */
const unpacked = {};
function deepTable(layers) {
  if (unpacked[layers]) return unpacked[layers];
  const packed = TABLES.deep[layers], [low, high, rows] = packed.ratios, [bottom, top, levels] = packed.levels, base = TABLES.digits.length >> 1;
  const code = Object.fromEntries([...TABLES.digits].map((c, k) => [c, k])), grid = new Float64Array(rows * levels);
  let value = 0, unit = 1, at = 0;
  for (const c of packed.log_times) {
    const digit = code[c];
    if (digit < base) { value += digit * unit; unit *= base; continue; }
    value += (digit - base) * unit; grid[at++] = value % 2 ? -(value + 1) / 2 : value / 2; value = 0; unit = 1;
  }
  for (let n = 0; n < 5; n++) for (let r = 0; r < rows; r++) for (let c = 1; c < levels; c++) grid[r * levels + c] += grid[r * levels + c - 1];
  for (let n = 0; n < 2; n++) for (let k = levels; k < grid.length; k++) grid[k] += grid[k - levels];
  for (let k = 0; k < grid.length; k++) grid[k] *= TABLES.quantum;
  const step = (top - bottom) / (levels - 1), marks = Float64Array.from({ length: levels }, (_, k) => bottom + k * step);
  return unpacked[layers] = { ...packed, grid, rows, levels, low, high, bottom, top, step, marks, spacing: (high - low) / (rows - 1), layers };
}
function around(place, count) {
  const first = Math.min(Math.max(Math.floor(place) - 3, 0), count - 8);
  return [first, place - first - 3.5];
}
function knots(table, x) { // ln t at every level, for one ln(s/τ)
  const { grid, levels, marks, low, high, layers } = table, out = new Float64Array(levels);
  if (x < low) { for (let k = 0; k < levels; k++) out[k] = deep_lazy(marks[k], layers); return out; }
  if (x > high) {
    for (let k = 0; k < levels; k++) {
      const [first, offset] = around((deep_same(marks[k], x - high) - table.bottom) / table.step, levels), share = deep_shares(offset);
      out[k] = deep_delayed(x, x - high, sum(share, (w, n) => w * table.escape[first + n]), table.balanced[k], layers);
    }
    return out;
  }
  const [first, offset] = around((x - low) / table.spacing, table.rows), share = deep_shares(offset);
  for (let n = 0; n < 8; n++) for (let k = 0, from = (first + n) * levels; k < levels; k++) out[k] += share[n] * grid[from + k];
  return out;
}
function risen(table, row, time) { // p = −ln(1 − m/s) at ln t
  const last = table.levels - 1, marks = table.marks;
  if (time < row[0]) return Math.exp(marks[0] + time - row[0]);
  if (time > row[last]) return deep_late(time, row[last], row[last - 1], marks[last], marks[last - 1]);
  let low = 0, high = last;
  while (high - low > 1) { const middle = (low + high) >> 1; if (row[middle] <= time) low = middle; else high = middle; }
  const f = Math.min(Math.max(low - 3, 0), table.levels - 8), k = row;
  const place = deep_place(k[f], k[f + 1], k[f + 2], k[f + 3], k[f + 4], k[f + 5], k[f + 6], k[f + 7], low - f - 3.5, k[low], k[low + 1], time);
  return Math.exp(marks[0] + table.step * (f + 3.5 + place));
}

/* curves at flow time: `learned(k, clock(t))` of mode k, `top(clock(t))` of the largest, `left(t)` of the start */
function motion(spec, l) {
  const { values } = spec, { tau } = l, layers = depth();
  if (layers === 2) {
    const at = (x, t) => mode(x, tau, t);
    return { clock: t => t, learned: (k, t) => at(values[k], t), higher: (k, t) => at(values[k] * (1 + TABLES.relative), t), top: t => at(spec.top, t), left: t => residue(l.start, tau, t) };
  }
  const table = deepTable(layers), rows = [];
  const at = (x, k, time) => x === 0 ? 0 : -x * Math.expm1(-risen(table, rows[k] || (rows[k] = knots(table, Math.log(x / tau))), time));
  return { clock: t => t > 0 ? deep_log_time(tau, t, layers) : -Infinity, learned: (k, c) => at(values[k], k, c), top: c => at(spec.top, values.length, c), left: t => deep_residue(l.start, tau, t, layers) };
}
function errors(spec, learned, tau, top, left) { // train, test, stable rank, active modes
  const { values, counts, projections, entries } = spec;
  let train = 0, test = spec.energy, power = 0, active = 0;
  for (let k = 0; k < values.length; k++) {
    const m = learned(k);
    train += train_term(m, values[k], counts[k], projections[k]); test += test_term(m, values[k], counts[k], projections[k]);
    power += power_term(m, values[k], counts[k], projections[k]);
    if (m > tau) active += counts[k];
  }
  return [train / entries + left, test / entries + left, stable_rank(power, top, left, state.d_out, state.d_in), active];
}
function testAt(spec, l, move, t) {
  const c = move.clock(t), { values, counts, projections } = spec;
  let test = spec.energy;
  for (let k = 0; k < values.length; k++) test += test_term(move.learned(k, c), values[k], counts[k], projections[k]);
  return test / spec.entries + move.left(t);
}
function adapterErrors(spec, l, t) {
  const parts = spec.signal.map(s => adapter_mode(s, l.tau, l.overlap, t)), sizes = parts.map(p => Math.hypot(...p));
  const error = sum(parts, ([along, beside], k) => (spec.signal[k] - along) ** 2 + beside ** 2) / spec.entries, top = Math.max(...sizes);
  return { row: [error, error, top > 0 ? sum(sizes, m => m * m) / (top * top) : 0, sizes.filter(m => m > l.tau).length], sizes };
}

/* steps of descent at infinite width: modes at x, at x(1 + ε) and from τ(1 + ε), side by side */
function descended(spec, l, records) {
  const n = spec.values.length, size = 3 * n, grown = new Float64Array(size), fallen = new Float64Array(size), x = new Float64Array(size), kept = [];
  let left = l.start, tau = l.tau, low = { test: Infinity, steps: 0 }, at = 0;
  for (let k = 0; k < size; k++) { grown[k] = fallen[k] = tau * (k < 2 * n ? 1 : 1 + TABLES.relative); x[k] = spec.values[k % n] * (k >= n && k < 2 * n ? 1 + TABLES.relative : 1); }
  for (let step = 0; step <= state.steps; step++) {
    let test = spec.energy;
    for (let k = 0; k < n; k++) test += test_term(0.5 * (grown[k] - fallen[k]), spec.values[k], spec.counts[k], spec.projections[k]);
    test = test / spec.entries + left;
    if (test < low.test) low = { test, steps: step };
    if (records[at] === step) { at++; kept.push({ m: Float64Array.from(grown, (g, k) => 0.5 * (g - fallen[k])), left, tau, test }); }
    for (let k = 0; k < size; k++) { const g = grown[k], f = fallen[k]; grown[k] = grow(g, f, x[k], l.eta, spec.decay); fallen[k] = fall(g, f, x[k], l.eta, spec.decay); }
    left = residue_step(left, tau, l.eta, spec.decay); tau *= (1 - l.eta * spec.decay) ** 2;
  }
  return { kept, low };
}
function deviationAt(spec, l, learned, slopes, left) {
  let along = 0, power = 0, places = 0, late = 0;
  for (let k = 0; k < spec.values.length; k++) {
    const [slope, arrival] = slopes(k), terms = deviation_terms(learned(k), slope, arrival, spec.counts[k], spec.projections[k], spec.entries);
    along += terms[0]; power += terms[1]; places += terms[2]; late += terms[3];
  }
  const missing = sum(spec.signal, (s, k) => k >= Math.floor(l.width) ? s * s : 0) / spec.entries;
  return deviation(along, power, places, late, left, l.width, l.eta / l.bound, spec.energy, spec.noise, state.d_out, state.d_in) + missing;
}

function smallest(test, steps) { // over whole steps: a coarse scan, then the bracket around its best
  const seen = visits(steps), values = seen.map(test), k = values.indexOf(Math.min(...values));
  let low = seen[Math.max(k - 1, 0)], high = seen[Math.min(k + 1, seen.length - 1)];
  while (high - low > 2) { const a = low + Math.floor((high - low) / 3), b = high - Math.floor((high - low) / 3); if (test(a) <= test(b)) high = b; else low = a; }
  let best = { test: values[k], steps: seen[k] };
  for (let n = low; n <= high; n++) { const value = test(n); if (value < best.test) best = { test: value, steps: n }; }
  return best;
}
function visits(steps) {
  const out = [];
  for (let n = 0; n < steps; n = Math.max(n + 1, Math.floor(n * 1.12))) out.push(n);
  return [...out, steps];
}
function records() {
  const n = 160, log = state.scale === "log", out = new Set();
  for (let k = 0; k <= n; k++) out.add(Math.round(log ? Math.pow(state.steps, k / n) : state.steps * k / n));
  return [...out];
}
function curvesOf(spec, l) { // rows of [train, test, stable rank, active modes, error estimate] and modes at the recorded steps
  const steps = records(), at = k => steps[k] * l.eta;
  if (isAdapter()) {
    const found = steps.map((_, k) => adapterErrors(spec, l, at(k)));
    return { steps, rows: found.map(f => [...f.row, NaN]), modes: found.map(f => f.sizes), taus: steps.map(() => l.tau), low: smallest(s => adapterErrors(spec, l, s * l.eta).row[1], state.steps), how: "flow" };
  }
  const move = motion(spec, l), flow = steps.map((_, k) => {
    const c = move.clock(at(k)), m = Float64Array.from(spec.values, (_, i) => move.learned(i, c));
    return { m, row: errors(spec, i => m[i], l.tau, move.top(c), move.left(at(k))) };
  });
  const low = () => smallest(s => testAt(spec, l, move, s * l.eta), state.steps);
  if (depth() > 2) return { steps, rows: flow.map(f => [...f.row, NaN]), modes: flow.map(f => f.m), taus: steps.map(() => l.tau), low: low(), how: "flow" };
  const { kept, low: lowest } = descended(spec, l, steps), byStep = l.share > TABLES.small_steps * (1 + 1e-9) || spec.decay > 0;
  const estimates = kept.map(({ m, left }) => keptError(spec, l, m, left));
  if (!byStep) return { steps, rows: flow.map((f, k) => [...f.row, estimates[k] + Math.abs(kept[k].test - f.row[1])]), modes: flow.map(f => f.m), taus: steps.map(() => l.tau), low: low(), how: "flow" };
  const rows = kept.map(({ m, left, tau }, k) => [...errors(spec, i => m[i], tau, m[spec.first], left), estimates[k]]);
  return { steps, rows, modes: kept.map(r => r.m), taus: kept.map(r => r.tau), low: lowest, how: "steps" };
}

/* the map: the smallest test error of every cell. Cells of one τ and one rate share their modes' curves. */
const COLUMNS = 30, ROWS = 28, CELL = 0.1;
function* mapCells(spec) {
  const seen = visits(state.steps), shared = new Map(), cells = [], unit = spec.energy / spec.entries;
  for (let i = 0; i < ROWS; i++) for (let j = 0; j < COLUMNS; j++) {
    const l = law(spec, -3 + CELL * (j + 0.5), highest("gamma_w") / ROWS * (i + 0.5), false), key = isAdapter() ? `${i} ${j}` : `${i + j} ${l.eta.toPrecision(9)}`;
    if (!shared.has(key)) { shared.set(key, lineOf(spec, l, seen)); yield; }
    const line = shared.get(key);
    let test = Infinity, best = 0;
    for (let n = 0; n < seen.length; n++) { const value = line.test[n] + l.start * line.left[n]; if (value < test) { test = value; best = n; } }
    cells.push({
      i, j, test, steps: seen[best], rank: line.rank(best, l), diverges: l.eta > l.bound, outside: isOutside(spec, l, line, seen[best] * l.eta, best, unit),
      activity: sum(spec.signal, s => activity_of(s, l.tau)) / spec.signal.length,
    });
  }
  return cells;
}
function lineOf(spec, l, seen) { // of the visited steps: test error without the start, what is left of a start of 1, stable rank
  if (isAdapter()) { const rows = seen.map(n => adapterErrors(spec, l, n * l.eta).row); return { test: rows.map(r => r[1]), left: rows.map(() => 0), rank: n => rows[n][2] }; }
  const bare = { ...l, start: 1 }, out = { test: [], left: [], kept: null }, powers = [], tops = [];
  out.rank = (n, cell) => stable_rank(powers[n], tops[n], cell.start * out.left[n], state.d_out, state.d_in);
  const note = (m, top, left) => {
    let test = spec.energy, power = 0;
    for (let k = 0; k < spec.values.length; k++) { const v = m(k); test += test_term(v, spec.values[k], spec.counts[k], spec.projections[k]); power += power_term(v, spec.values[k], spec.counts[k], spec.projections[k]); }
    out.test.push(test / spec.entries); out.left.push(left); powers.push(power); tops.push(top);
  };
  if (spec.decay > 0) { out.kept = descended(spec, bare, seen).kept; for (const { m, left } of out.kept) note(k => m[k], m[spec.first], left); return out; }
  const move = motion(spec, bare);
  for (const n of seen) { const t = n * l.eta, c = move.clock(t); note(k => move.learned(k, c), move.top(c), move.left(t)); }
  return out;
}
function isOutside(spec, l, line, t, best, unit) { // one run can be further off than a tenth of the error of predicting zero
  if (isAdapter()) return l.width < state.rank || l.width > state.d_in / 8;
  if (depth() > 2) return !deep_valid(l.width, l.start, unit, state.d_out, state.d_in);
  const error = line.kept ? keptError(spec, l, line.kept[best].m, l.start * line.left[best]) : flowError(spec, l, t);
  return !(error <= TABLES.usable * unit);
}
function keptError(spec, l, m, left) {
  const n = spec.values.length, slopes = k => [(m[n + k] - m[k]) / (TABLES.relative * spec.values[k]), (m[2 * n + k] - m[k]) / TABLES.relative];
  return deviationAt(spec, l, k => m[k], slopes, left);
}
function flowError(spec, l, t) { // as `lindyn.prediction.validity.cells_error`: the five effects, and the lag of half a step
  const move = motion(spec, { ...l, start: 0 }), lag = 0.5 * l.eta * Math.hypot(spec.top, l.tau), m = spec.values.map((_, k) => move.learned(k, t));
  const slopes = k => flow_slopes(m[k], move.higher(k, t), spec.values[k], l.tau, t);
  const [early, late] = [1 - 0.5 * lag, 1 + 0.5 * lag].map(f => testAt(spec, l, move, t * Math.max(f, 0)));
  return deviationAt(spec, l, k => m[k], slopes, residue(l.start, l.tau, t)) + Math.abs(late - early);
}
