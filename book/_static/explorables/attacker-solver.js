/* The mathematics behind the page "Attack the classifier": paper B's eqs. (5) and (6) for a network of two dense
 * layers with tanh between them, one image at a time. It does what bea.backward and bea.numerics do for batches of any
 * network, with the same constants, so that it ends in the same points; each part below names its model. No page is
 * touched here.
 *
 * Vectors and matrices are Float64Arrays, matrices row by row. Needs network.js before it, of which it takes the forward
 * pass, and defines window.explorables.solver. */
"use strict";

{
  const E = window.explorables, { layer, ACTIVATIONS, times, timesTransposed, continueFrom, outputs } = E.network;
  const CONSTANTS = {
    // bea.backward.search
    TOLERANCE: 1e-7, MAX_ITERATIONS: 200, REPAIRS: 20,
    // bea.numerics.sequential
    DIFFERENCE: 1e-6, PRODUCTS: 6, REDUCTION: 0.01, SUFFICIENT: 1e-4, HALVINGS: 10, SHIFT: 1e-12, SPARE: 1, STRAIGHT: 4, HEAVIEST: 20,
    // bea.numerics.quadratic
    FEASIBLE: 1e-9,
  };
  const C = CONSTANTS;
  const EPS = Number.EPSILON, TINY = 2.2250738585072014e-308;

  // ---- vectors -------------------------------------------------------------

  function dot(a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
    return sum;
  }
  const norm = (a) => Math.sqrt(dot(a, a));
  /** a + f b */
  function plus(a, f, b) {
    const sum = new Float64Array(a.length);
    for (let i = 0; i < a.length; i++) sum[i] = a[i] + f * b[i];
    return sum;
  }
  function scaled(f, a) {
    const out = new Float64Array(a.length);
    for (let i = 0; i < a.length; i++) out[i] = f * a[i];
    return out;
  }
  /** The sum of rows, weighted. */
  function combine(rows, weights, length) {
    const sum = new Float64Array(length);
    rows.forEach((row, k) => {
      if (weights[k] !== 0) for (let i = 0; i < length; i++) sum[i] += weights[k] * row[i];
    });
    return sum;
  }

  /** Gaussian elimination with row exchanges on a copy of the k x k matrix M: { x, det }. */
  function linear(M, right) {
    const k = right.length, A = Float64Array.from(M), x = Float64Array.from(right);
    let det = 1;
    for (let p = 0; p < k; p++) {
      let best = p;
      for (let i = p + 1; i < k; i++) if (Math.abs(A[i * k + p]) > Math.abs(A[best * k + p])) best = i;
      if (best !== p) {
        for (let j = 0; j < k; j++) [A[p * k + j], A[best * k + j]] = [A[best * k + j], A[p * k + j]];
        [x[p], x[best]] = [x[best], x[p]];
        det = -det;
      }
      const pivot = A[p * k + p];
      det *= pivot;
      if (pivot === 0) return { x, det: 0 };
      for (let i = p + 1; i < k; i++) {
        const f = A[i * k + p] / pivot;
        if (f === 0) continue;
        for (let j = p; j < k; j++) A[i * k + j] -= f * A[p * k + j];
        x[i] -= f * x[p];
      }
    }
    for (let p = k - 1; p >= 0; p--) {
      for (let j = p + 1; j < k; j++) x[p] -= A[p * k + j] * x[j];
      x[p] /= A[p * k + p];
    }
    return { x, det };
  }

  // ---- the network ---------------------------------------------------------

  /** Rows W (m x n) = L Q with orthonormal rows Q and lower triangular L, by Gram and Schmidt, each row twice. */
  function factor(W, m, n, stride) {
    const Q = Array.from({ length: m }, (_, i) => W.slice(i * stride, i * stride + n)), L = new Float64Array(m * m);
    for (let i = 0; i < m; i++) {
      const q = Q[i], size = norm(q);
      for (let pass = 0; pass < 2; pass++) {
        for (let j = 0; j < i; j++) {
          const c = dot(q, Q[j]), p = Q[j];
          L[i * m + j] += c;
          for (let k = 0; k < n; k++) q[k] -= c * p[k];
        }
      }
      const left = norm(q);
      if (left > 1e-12 * size) {
        L[i * m + i] = left;
        for (let k = 0; k < n; k++) q[k] /= left;
      } else q.fill(0);
    }
    return { Q, L };
  }

  /** The network of A1 (hidden x (pixels + 1)) and A2 (classes x (hidden + 1)), the bias last in every row. */
  function network(A1, A2, pixels, hidden, classes) {
    const { Q, L } = factor(A1, hidden, pixels, pixels + 1);
    const layers = [
      layer(A1, [hidden, pixels + 1], ACTIVATIONS.tanh), layer(A2, [classes, hidden + 1], ACTIVATIONS.linear),
    ];
    return { A1, layers, hidden, classes, Q, L, norms: [norm(A1), norm(A2)] };
  }

  const augmented = (y) => { const h = new Float64Array(y.length + 1); h.set(y); h[y.length] = 1; return h; };

  /** The logits with a perturbation put in: { left1, right1, left2, right2, dx }, each or null. */
  function perturbedLogits(net, x, { left1, right1, left2, right2, dx }) {
    const image = dx ? plus(x, 1, dx) : x;
    let z = times(net.layers[0], image, net.layers[0].b);
    if (left1) z = plus(z, dot(right1, augmented(image)), left1);
    const { after: [y, logits] } = continueFrom(net, z);
    return left2 ? plus(logits, dot(right2, augmented(y)), left2) : logits;
  }

  // ---- the reduced problem: bea.backward.reduction ---------------------------

  /** What follows the first change as a function of few unknowns tau.
   *  "weights": t2 and s, the change of the hidden layer's pre-activation. "input": s. "both": t1, t2 and s.
   *  Only the part of a changing input in the rows of A1 has an effect, and for "both" its length along what is left
   *  of x: so the input has hidden + 1 coordinates, of which the last is that one. */
  function reduce(net, x, on) {
    const { hidden, classes, Q } = net, [alpha1] = net.norms, [first] = net.layers;
    const weights = on !== "input", input = on !== "weights", both = on === "both";
    const beta = norm(x);
    const t1 = both ? 0 : -1, t2 = weights ? (both ? hidden : 0) : -1;
    const s = (both ? hidden : 0) + (weights ? classes : 0), size = s + (input ? hidden + 1 : hidden);
    const inside = Float64Array.from(Q, (q) => dot(q, x));
    const outside = plus(x, -1, combine(Q, inside, x.length)), rest = norm(outside);
    const start = input ? Float64Array.of(...inside, rest) : times(first, x, first.b);
    const scale = input ? beta : alpha1 * norm(augmented(x));
    const problem = { net, x, weights, input, both, beta, t1, t2, s, size, inside, outside, rest, start, scale };
    return {
      size, classes,
      forward: (tau) => forward(problem, tau),
      pullBack: (row, memory) => pullBack(problem, row, memory),
      perturbation: (tau, linearised) => perturbation(problem, tau, linearised),
      /** ‖ΔA1‖/‖A1‖, ‖ΔA2‖/‖A2‖ and ‖Δx‖/‖x‖. */
      relative: (tau) => [
        weights ? norm(tau.subarray(both ? t1 : s, (both ? t1 : s) + hidden)) : 0,
        weights ? norm(tau.subarray(t2, t2 + classes)) : 0,
        input ? norm(tau.subarray(s)) : 0,
      ],
      /** tau of an image to which the input changes; only the part that has an effect. */
      toward(image) {
        const tau = new Float64Array(size);
        Q.forEach((q, i) => { tau[s + i] = (dot(q, image) - inside[i]) / beta; });
        return tau;
      },
      lastLayer: weights ? [t2, t2 + classes] : null,
    };
  }

  function forward({ net, weights, input, both, t1, t2, s, start, scale }, tau) {
    const { hidden, classes, L } = net, [alpha1, alpha2] = net.norms, u = new Float64Array(start.length);
    for (let i = 0; i < start.length; i++) u[i] = start[i] + scale * tau[s + i];
    let z = u, length1 = 0, length2 = 0;
    if (input) {
      z = net.layers[0].b.slice();
      for (let i = 0; i < hidden; i++) {
        for (let j = 0, p = i * hidden; j <= i; j++) z[i] += L[p + j] * u[j];
      }
      if (both) {
        length1 = Math.sqrt(dot(u, u) + 1);
        for (let i = 0; i < hidden; i++) z[i] += alpha1 * length1 * tau[t1 + i];
      }
    }
    const { after: [y, logits] } = continueFrom(net, z);
    if (weights) {
      length2 = Math.sqrt(dot(y, y) + 1);
      for (let k = 0; k < classes; k++) logits[k] += alpha2 * length2 * tau[t2 + k];
    }
    return { tau, u, z, y, length1, length2, logits };
  }

  /** The derivative of row . logits with respect to tau. */
  function pullBack({ net, weights, input, both, t1, t2, s, size, scale }, row, { tau, u, z, y, length1, length2 }) {
    const { hidden, classes, L, layers: [first, last] } = net, [alpha1, alpha2] = net.norms;
    const out = new Float64Array(size), back = timesTransposed(last, row);
    let along = 0;
    if (weights) {
      for (let k = 0; k < classes; k++) {
        out[t2 + k] = row[k] * alpha2 * length2;
        along += row[k] * tau[t2 + k] * alpha2 / length2;
      }
    }
    for (let j = 0; j < hidden; j++) back[j] = first.activation.back(back[j] + along * y[j], z[j], y[j]);
    if (!input) {
      for (let j = 0; j < hidden; j++) out[s + j] = scale * back[j];
      return out;
    }
    along = 0;
    if (both) {
      for (let i = 0; i < hidden; i++) {
        out[t1 + i] = back[i] * alpha1 * length1;
        along += back[i] * tau[t1 + i] * alpha1 / length1;
      }
    }
    for (let i = 0; i < hidden; i++) {
      for (let j = 0, p = i * hidden; j <= i; j++) out[s + j] += L[p + j] * back[i];
    }
    for (let j = 0; j <= hidden; j++) out[s + j] = scale * (out[s + j] + along * u[j]);
    return out;
  }

  /** The perturbation of tau; a linearised one changes what layers receive before any change. */
  function perturbation(problem, tau, linearised) {
    const { net, x, weights, input, both, beta, t1, t2, s, size, outside, rest } = problem;
    const { hidden, classes, Q } = net, [alpha1, alpha2] = net.norms;
    const found = { left1: null, right1: null, left2: null, right2: null, dx: null };
    const { y } = forward(problem, linearised ? new Float64Array(size) : tau);
    const part = (from, length) => tau.slice(from, from + length);
    if (input) {
      const way = part(s, hidden + 1);
      found.dx = scaled(beta, combine(Q, way, x.length));
      if (both && rest > 0) found.dx = plus(found.dx, beta * way[hidden] / rest, outside);
    }
    if (weights) {
      found.right1 = augmented(found.dx && !linearised ? plus(x, 1, found.dx) : x);
      found.left1 = scaled(alpha1 / norm(found.right1), part(both ? t1 : s, hidden));
      found.right2 = augmented(y);
      found.left2 = scaled(alpha2 / norm(found.right2), part(t2, classes));
    }
    return found;
  }

  /** The constraints "target minus other minus margin ≥ 0": bea.backward.search.LeadConstraints. */
  function constraints(tail, target, margin) {
    const others = Array.from({ length: tail.classes }, (_, k) => k).filter((k) => k !== target);
    const difference = (j) => { const row = new Float64Array(tail.classes); row[target] = 1; row[others[j]] = -1; return row; };
    return {
      tail, others, count: others.length, margin, target,
      value(tau) {
        const memory = tail.forward(tau), y = memory.logits;
        return { g: Float64Array.from(others, (k) => y[target] - y[k] - margin), memory };
      },
      jacobian: (memory, chosen) => chosen.map((j) => tail.pullBack(difference(j), memory)),
      gradient(memory, multipliers) {
        const row = new Float64Array(tail.classes);
        multipliers.forEach((l, j) => { row[target] += l; row[others[j]] -= l; });
        return tail.pullBack(row, memory);
      },
    };
  }

  // ---- the quadratic programme: bea.numerics.quadratic ------------------------

  /** min ½ λᵀKλ - cᵀλ over λ ≥ 0 by Goldfarb and Idnani's dual active set: { multipliers, solved, iterations }. */
  function smallestFeasible(K, c, guess) {
    const k = c.length, all = Array.from({ length: k }, (_, i) => i);
    const diagonal = all.map((i) => K[i * k + i]), size = diagonal.map((d) => Math.sqrt(Math.max(d, TINY)));
    let lam = new Float64Array(k), active = all.map(() => false), incoming = -1, solved = false, iterations = 0;
    const slackOf = (i) => { let sum = -c[i]; for (let j = 0; j < k; j++) sum += K[i * k + j] * lam[j]; return sum; };
    const known = guess && tryGuess(K, c, guess);
    if (known) { lam = known; active = [...guess]; solved = true; }
    for (let round = 0; !solved && round < 100 * k; round++) {
      const slack = all.map(slackOf);
      if (incoming < 0) {
        let most = Infinity;
        for (const i of all) {
          let sum = Math.abs(c[i]);
          for (let j = 0; j < k; j++) sum += Math.abs(K[i * k + j]) * lam[j];
          if (!active[i] && slack[i] < -8 * k * EPS * sum && slack[i] / size[i] < most) { most = slack[i] / size[i]; incoming = i; }
        }
      }
      if (incoming < 0) { solved = true; break; }
      iterations++;
      const q = incoming, column = all.map((i) => active[i] ? K[i * k + q] : 0);
      const system = new Float64Array(k * k);
      for (const i of all) for (const j of all) system[i * k + j] = active[i] && active[j] ? K[i * k + j] : Number(i === j);
      const r = linear(system, column).x, z = K[q * k + q] - dot(column, r);
      const noise = 8 * k * EPS * (size[q] + all.reduce((sum, i) => sum + Math.abs(r[i]) * size[i], 0)) ** 2;
      const full = z > noise ? -slack[q] / z : Infinity;
      let partial = Infinity, outgoing = -1;
      for (const i of all) if (active[i] && r[i] > 0 && lam[i] / r[i] < partial) { partial = lam[i] / r[i]; outgoing = i; }
      const step = Math.min(full, partial);
      if (step === Infinity) break;
      for (const i of all) if (active[i]) lam[i] = Math.max(lam[i] - step * r[i], 0);
      lam[q] += step;
      if (partial < full) { active[outgoing] = false; lam[outgoing] = 0; } else { active[q] = true; incoming = -1; }
    }
    if (solved) {
      const products = all.map((i) => slackOf(i) + c[i]), square = Math.max(dot(lam, products), 0);
      const terms = all.reduce((sum, i) => sum + Math.sqrt(Math.max(diagonal[i], 0)) * lam[i], 0);
      solved = 8 * k * EPS * terms ** 2 <= 0.01 * square
        && all.every((i) => slackOf(i) >= -C.FEASIBLE * (Math.sqrt(diagonal[i] * square) + Math.abs(c[i])));
    }
    return { multipliers: solved ? lam : new Float64Array(k), solved, iterations };
  }

  /** The multipliers if the guessed constraints are the active ones, or null. */
  function tryGuess(K, c, guess) {
    const k = c.length, system = new Float64Array(k * k), columns = new Float64Array(k * k);
    if (!guess.some(Boolean)) return null;
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) system[i * k + j] = guess[i] && guess[j] ? K[i * k + j] : Number(i === j);
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) columns[i * k + j] = system[i * k + j] / Math.max(system[j * k + j], TINY);
    if (!(linear(columns, c).det > 1e-10)) return null;
    const lam = linear(system, c.map((v, i) => guess[i] ? v : 0)).x;
    for (let i = 0; i < k; i++) {
      let slack = -c[i];
      for (let j = 0; j < k; j++) slack += K[i * k + j] * lam[j];
      if (!(lam[i] >= 0) || !(guess[i] || slack >= 0)) return null;
    }
    return lam;
  }

  const gram = (G) => {
    const k = G.length, K = new Float64Array(k * k);
    for (let i = 0; i < k; i++) for (let j = 0; j <= i; j++) K[i * k + j] = K[j * k + i] = dot(G[i], G[j]);
    return K;
  };

  // ---- sequential quadratic programming: bea.numerics.sequential ----------------

  const violation = (g) => g.reduce((most, v) => Math.max(most, -v), 0);
  const largest = (v) => v.reduce((most, a) => Math.max(most, Math.abs(a)), 0);

  /** The smallest vectors under smooth constraints: { tau, iterations, kkt }. */
  function solve(lead, start, allowed, maxIterations) {
    const count = lead.count, all = Array.from({ length: count }, (_, j) => j);
    let tau = start, { g, memory } = lead.value(tau), multipliers = new Float64Array(count), penalty = 0;
    let result = null;
    for (let iteration = 0; iteration <= maxIterations; iteration++) {
      const active = all.map((j) => multipliers[j] > 0), key = all.map((j) => active[j] ? -Infinity : g[j]);
      const number = active.filter(Boolean).length, wanted = number ? Math.min(number + C.SPARE, count) : count;
      const chosen = [...all].sort((i, j) => key[i] === key[j] ? i - j : key[i] - key[j]).slice(0, wanted);
      const G = lead.jacobian(memory, chosen), near = Float64Array.from(chosen, (j) => g[j]);
      const K = gram(G), c = near.map((v, i) => dot(G[i], tau) - v);
      let { multipliers: some, solved } = smallestFeasible(K, c, chosen.map((j) => active[j]));
      if (!solved) {
        const k = c.length, relaxed = Float64Array.from(K);
        let trace = 0;
        for (let i = 0; i < k; i++) trace += K[i * k + i];
        for (let i = 0; i < k; i++) relaxed[i * k + i] += 1e-6 * trace;
        some = smallestFeasible(relaxed, c).multipliers;
      }
      const projected = combine(G, some, tau.length), size = Math.max(norm(projected), TINY);
      const kkt = !solved ? Infinity : Math.max(
        norm(plus(projected, -1, tau)) / size,
        violation(g) / Math.max(largest(c), TINY),
        largest(near.map((v, i) => v * some[i])) / Math.max(size * size, TINY),
      );
      result = { tau, iterations: iteration, kkt };
      if ((kkt <= C.TOLERANCE && violation(g) <= allowed) || iteration === maxIterations) break;

      multipliers = new Float64Array(count);
      chosen.forEach((j, i) => { multipliers[j] = some[i]; });
      const enough = 1.5 * multipliers.reduce((sum, l) => sum + l, 0);
      if (enough > 0) penalty = Math.min(Math.max(penalty, enough), C.HEAVIEST * enough);  // else the last one stays
      const rows = activeRows(G, K, some, chosen), d = plus(projected, -1, tau), steps = [d];
      if (iteration >= C.STRAIGHT) steps.unshift(curvedStep(lead, tau, multipliers, projected, d, rows));
      const next = lineSearch(lead, tau, g, steps, penalty, rows);
      if (!next) { // perhaps because of a constraint that was not looked at: the next time look at all of them
        if (wanted === count) break;
        multipliers = new Float64Array(count);
        continue;
      }
      tau = next;
      ({ g, memory } = lead.value(tau));
    }
    return result;
  }

  /** The rows of G whose constraints are active, scaled to length one and orthonormalised by Cholesky: projections on
   *  and along them. Nearly dependent rows: the shift costs digits, which the line search forgives. */
  function activeRows(G, K, some, chosen) {
    const order = chosen.map((_, i) => i).filter((i) => some[i] > 0), m = order.length, k = chosen.length;
    const sizes = order.map((i) => Math.sqrt(Math.max(K[i * k + i], TINY))), L = new Float64Array(m * m);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = K[order[i] * k + order[j]] / (sizes[i] * sizes[j]) + (i === j ? C.SHIFT : 0);
        for (let p = 0; p < j; p++) sum -= L[i * m + p] * L[j * m + p];
        L[i * m + j] = i === j ? Math.sqrt(Math.max(sum, TINY)) : sum / L[j * m + j];
      }
    }
    const forward = (right) => { // L^-1 right, numbers or vectors
      const out = [];
      for (let i = 0; i < m; i++) {
        let row = right[i];
        for (let p = 0; p < i; p++) row = typeof row === "number" ? row - L[i * m + p] * out[p] : plus(row, -L[i * m + p], out[p]);
        out.push(typeof row === "number" ? row / L[i * m + i] : scaled(1 / L[i * m + i], row));
      }
      return out;
    };
    const basis = forward(order.map((i, a) => scaled(1 / sizes[a], G[i])));
    return {
      tangential: (v) => plus(v, -1, combine(basis, basis.map((b) => dot(b, v)), v.length)),
      restoring: (g, length) => combine(basis, forward(order.map((i, a) => -g[chosen[i]] / sizes[a])), length),
    };
  }

  /** d improved by the curvature of the constraints, by conjugate gradients with differences of gradients. */
  function curvedStep(lead, tau, multipliers, projected, d, active) {
    const size = Math.max(norm(tau), 1e-3 * norm(projected));
    const curvature = (v) => {
      const h = C.DIFFERENCE * size / Math.max(norm(v), TINY);
      const { memory } = lead.value(plus(tau, h, v));
      return scaled(1 / h, plus(lead.gradient(memory, multipliers), -1, projected));
    };
    let z = new Float64Array(d.length), r = active.tangential(curvature(d)), p = r, square = dot(r, r);
    const enough = C.REDUCTION ** 2 * square;
    for (let product = 0; product < C.PRODUCTS && square > enough; product++) {
      const Hp = active.tangential(plus(p, -1, curvature(p))), bend = dot(p, Hp);
      if (!(bend > 1e-3 * dot(p, p))) break;
      const length = square / bend, last = square;
      z = plus(z, length, p);
      r = plus(r, -length, Hp);
      square = dot(r, r);
      p = plus(r, square / Math.max(last, TINY), p);
    }
    return plus(d, 1, z);
  }

  /** Try the steps in turn, each shortened twice, the last one many times; the new point, or null. */
  function lineSearch(lead, tau, g, steps, penalty, active) {
    const meritOf = (point, values) => 0.5 * dot(point, point) + penalty * violation(values), merit = meritOf(tau, g);
    for (let number = 0; number < steps.length; number++) {
      const step = steps[number], slope = dot(tau, step) - penalty * violation(g);
      if (!(slope < 0)) continue;
      for (let halving = 0; halving < (number === steps.length - 1 ? C.HALVINGS : 3); halving++) {
        const length = 0.5 ** halving;
        const enough = merit + C.SUFFICIENT * length * slope + 1e-13 * merit;
        const trial = plus(tau, length, step), reached = lead.value(trial).g;
        if (meritOf(trial, reached) <= enough) return trial;
        if (halving === 0) { // without a correction, long steps along bent constraints are refused (Maratos)
          const corrected = plus(trial, 1, active.restoring(reached, tau.length));
          if (meritOf(corrected, lead.value(corrected).g) <= enough) return corrected;
        }
      }
    }
    return null;
  }

  // ---- the search: bea.backward.search --------------------------------------------

  const everything = (lead) => lead.others.map((_, j) => j);
  const wins = (lead, tau, allowed) => violation(lead.value(tau).g) <= allowed;

  /** Search from a start; then what is left of a violation is removed. */
  function descend(lead, start, allowed) {
    const solution = solve(lead, start, allowed, C.MAX_ITERATIONS);
    let { tau } = solution, won = wins(lead, tau, allowed);
    for (let repair = 0; !won && repair < C.REPAIRS; repair++) {
      const { g, memory } = lead.value(tau), G = lead.jacobian(memory, everything(lead));
      const { multipliers, solved } = smallestFeasible(gram(G), g.map((v) => 0.1 * allowed - v));
      tau = plus(tau, 1, combine(G, multipliers, tau.length));
      won = wins(lead, tau, allowed);
      if (!solved) break;
    }
    return { tau, won, iterations: solution.iterations, kkt: solution.kkt };
  }

  /** The point found from zero, as bea.backward.search has it with starts=1; `known`: images to start from where the
   *  target does not win there. */
  function search(lead, allowed, known) {
    const { tail } = lead, zero = new Float64Array(tail.size);
    let best = descend(lead, zero, allowed);
    const improve = (other) => {
      if (other.won && (!best.won || dot(other.tau, other.tau) < dot(best.tau, best.tau))) best = other;
    };
    for (const propose of [changeLastLayer, changeInput]) {
      if (best.won) break;
      const start = propose(lead, zero, allowed, known);
      if (!start) continue;
      improve({ tau: start, won: true, iterations: 0, kkt: Infinity });
      improve(descend(lead, start, allowed));
    }
    return best;
  }

  /** The smallest change of the last layer alone; the logits are affine in it. */
  function changeLastLayer(lead, zero, allowed) {
    if (!lead.tail.lastLayer) return null;
    const [from, to] = lead.tail.lastLayer, { g, memory } = lead.value(zero);
    const G = lead.jacobian(memory, everything(lead)).map((row) => row.slice(from, to));
    const { multipliers, solved } = smallestFeasible(gram(G), g.map((v) => 0.1 * allowed - v));
    const tau = zero.slice();
    tau.set(combine(G, multipliers, to - from), from);
    return solved ? tau : null;
  }

  /** The way to the nearest known image of the target class, up to where the target wins. */
  function changeInput(lead, zero, allowed, known) {
    const ahead = known.map(lead.tail.toward).filter((tau) => violation(lead.value(tau).g) === 0);
    if (!ahead.length) return null;
    const way = ahead.reduce((a, b) => dot(b, b) < dot(a, a) ? b : a);
    let low = 0, high = 1;
    for (let i = 0; i < 40; i++) {
      const middle = (low + high) / 2;
      if (violation(lead.value(scaled(middle, way)).g) === 0) high = middle; else low = middle;
    }
    return scaled(high, way);
  }

  // ---- the attack: bea.attack -----------------------------------------------------

  /** Both attacks on an image x: smallest perturbations after which `target` leads by `margin`.
   *  on: "weights", "input" or "both". Returns { before, first, converged }. */
  function attack(net, x, target, on, margin, known = []) {
    const before = outputs(net, x), tail = reduce(net, x, on), lead = constraints(tail, target, margin);
    const allowed = Math.min(1e-9 * largest(before), 1e-3 * margin);

    const judge = (tau, linearised, facts) => {
      const perturbation = tail.perturbation(tau, linearised), relative = tail.relative(tau);
      const reached = perturbedLogits(net, x, perturbation);
      const ahead = Math.min(...lead.others.map((k) => reached[target] - reached[k]));
      return {
        ...facts, ...perturbation, relative, logits: reached, margin: ahead,
        objective: relative.reduce((sum, r) => sum + r * r, 0),
        success: ahead >= margin - allowed && ahead > 0,
      };
    };

    const zero = new Float64Array(tail.size), { g, memory } = lead.value(zero);
    const G = lead.jacobian(memory, everything(lead)), { multipliers, solved, iterations } = smallestFeasible(gram(G), scaled(-1, g));
    const found = search(lead, allowed, known);
    return {
      before, target, on, marginAsked: margin,
      first: solved ? judge(combine(G, multipliers, tail.size), true, { iterations }) : null,
      converged: found.won ? judge(found.tau, false, { iterations: found.iterations, kkt: found.kkt }) : null,
    };
  }

  E.solver = { CONSTANTS, network, attack };
}
