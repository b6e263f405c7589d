// Modes of T = A* + E where A* is weak or of many modes: the search of `lindyn.prediction.equivalent`, on its formulas.
const geometric = (from, to, count) => Array.from({ length: count }, (_, k) => from * Math.pow(to / from, k / (count - 1)));

function groupsOf(signal, unit, small, large) { // in units of ν√n: squares (0 last), weights over n, energies
  const values = [...new Set(signal.map(s => s / unit))].sort((a, b) => a - b), count = v => signal.filter(s => s / unit === v).length, n = large;
  return {
    squares: [...values.map(v => v * v), 0], small: [...values.map(v => count(v) / n), (small - signal.length) / n],
    large: [...values.map(v => count(v) / n), (n - signal.length) / n], energy: [...values.map(v => count(v) * (unit * v) ** 2), 0],
  };
}
function mapOf(groups, re, im) { // ω and its derivative, and F of the smaller side
  let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
  for (let k = 0; k < groups.squares.length; k++) {
    const [x, y, u, v] = pole_of(re, im, groups.squares[k]), small = groups.small[k], large = groups.large[k];
    a += x * small; b += y * small; c += x * large; d += y * large; e += u * small; f += v * small; g += u * large; h += v * large;
  }
  return [...inverse_map(re, im, a, b, c, d, e, f, g, h), a, b];
}
function densityAt(groups, x) { // of singular values over n, and of what they know of A*
  const above = 2 * (Math.sqrt(Math.max(...groups.squares)) + 2), over = (a, b, c, d) => { const m = c * c + d * d; return [(a * c + b * d) / m, (b * c - a * d) / m]; };
  const squareOf = height => [x * x - height * height, 2 * x * height];
  let [re, im] = squareOf(above);
  for (let n = 0; n < 60; n++) {
    const [wr, wi] = mapOf(groups, re, im), [sr, si] = squareOf(above), [qr, qi] = over(sr, si, wr, wi);
    [re, im] = [0.5 * (re + re * qr - im * qi), 0.5 * (im + re * qi + im * qr)];
  }
  for (let step = 1; step <= 60; step++) {
    const [sr, si] = squareOf(step < 60 ? above * Math.pow(0.6, step) : 0);
    for (let n = 0; n < 50; n++) {
      const [wr, wi, dr, di] = mapOf(groups, re, im), [hr, hi] = over(wr - sr, wi - si, dr, di);
      re -= hr; im -= hi;
      if (!(Math.hypot(hr, hi) > 1e-13 * Math.hypot(re, im))) break;
    }
  }
  const [, , , , fr, fi] = mapOf(groups, re, im);
  return [2 / Math.PI * resolvent_of(x, fr, fi), 2 / Math.PI * sum(groups.squares, (q, k) => -pole_of(re, im, q)[1] * groups.energy[k])];
}
function piecesOf(groups) { // intervals that hold singular values: between critical values of ω on the real line
  const poles = [...groups.squares].sort((a, b) => a - b), near = geometric(1e-12, 0.5, 120), last = poles[poles.length - 1], scale = Math.max(last, 1), lines = [];
  for (let k = 0; k + 1 < poles.length; k++) { const a = poles[k], b = poles[k + 1]; lines.push([...near.map(f => a + (b - a) * f), ...near.map(f => b - (b - a) * f).reverse()]); }
  lines.push(geometric(1e-12, 1e4, 300).map(f => last + scale * f), geometric(1e4, 1e-12, 300).map(f => -scale * f));
  const slope = p => Math.sign(mapOf(groups, p, 0)[2]), critical = [];
  for (const line of lines) {
    const signs = line.map(slope);
    for (let k = 0; k + 1 < line.length; k++) {
      if (!(signs[k] * signs[k + 1] < 0)) continue;
      let low = line[k], high = line[k + 1];
      for (let n = 0; n < 60; n++) { const middle = 0.5 * (low + high); if (slope(middle) === signs[k]) low = middle; else high = middle; }
      critical.push(mapOf(groups, 0.5 * (low + high), 0)[0]);
    }
  }
  const most = Math.max(...critical), edges = [0, ...critical.filter(c => c > 1e-10 * most).sort((a, b) => a - b).map(Math.sqrt)];
  return edges.slice(0, -1).map((low, k) => [low, edges[k + 1]]).filter(([low, high]) => densityAt(groups, 0.5 * (low + high))[0] > 1e-9);
}
function joined(nodes) { // neighbours are joined where there are more than needed; sums and means stay
  const { kept } = TABLES.equivalent, rows = [...nodes].sort((a, b) => b[0] - a[0]), total = sum(rows, r => r[1]), first = rows[0][0], length = first - rows[rows.length - 1][0];
  if (rows.length <= kept) return rows;
  const parts = Array.from({ length: kept }, () => [0, 0, 0]); let seen = 0;
  for (const [x, count, known] of rows) {
    seen += count;
    const part = parts[Math.min(Math.floor(0.5 * kept * (seen / total + (first - x) / length)), kept - 1)];
    part[0] += count * x; part[1] += count; part[2] += known;
  }
  return parts.filter(p => p[1] > 0).map(p => [p[0] / p[1], p[1], p[2]]);
}
function typicalTop(nodes) { // above which half a mode lies: the density is a mean over draws
  let seen = 0, last = null;
  for (const [x, count] of nodes) {
    const at = seen + count / 2; seen += count;
    if (at >= 0.5) return last === null ? x : last[1] + (0.5 - last[0]) / (at - last[0]) * (x - last[1]);
    last = [at, x];
  }
  return last[1];
}
const solved = new Map(); // by its settings: the law does not enter
function equivalent(signal, noise, d_out, d_in) {
  const key = JSON.stringify([signal, noise, d_out, d_in]);
  if (!solved.has(key)) { if (solved.size > 20) solved.clear(); solved.set(key, solveEquivalent(signal, noise, Math.min(d_out, d_in), Math.max(d_out, d_in))); }
  return solved.get(key);
}
function solveEquivalent(signal, noise, small, large) { // {nodes: [value, count, projection], accuracy}
  const unit = noise * Math.sqrt(large), groups = groupsOf(signal, unit, small, large), pieces = piecesOf(groups), energy = sum(signal, s => s * s);
  const sums = [small, energy + noise * noise * small * large, energy];
  for (let counts = pieces.map(([low, high]) => high - low > 0.25 * high ? 32 : 8); ; counts = counts.map(c => Math.min(2 * c, TABLES.equivalent.most_nodes))) {
    const nodes = pieces.flatMap(([low, high], k) => Array.from({ length: counts[k] }, (_, n) => {
      const phi = (n + 0.5) / counts[k], [x, pace] = low === 0 ? node_from_zero(high, phi) : node_between(low, high, phi), [mass, known] = densityAt(groups, x);
      return [unit * x, large * mass * pace / counts[k], known * pace / counts[k] / unit];
    }));
    const found = [sum(nodes, r => r[1]), sum(nodes, r => r[0] * r[0] * r[1]), sum(nodes, r => r[0] * r[2])];
    const accuracy = nodes.length ? Math.max(...found.map((f, k) => Math.abs(f - sums[k]) / sums[k])) : Infinity;
    if (accuracy < TABLES.equivalent.tolerance || !nodes.length || Math.max(...counts) >= TABLES.equivalent.most_nodes) return { nodes: nodes.length ? joined(nodes.map(([x, count, known]) => [x, count * sums[0] / found[0], known])) : [], accuracy };
  }
}
