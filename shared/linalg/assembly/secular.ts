/**
 * Roots x of the secular equation f(x) = 1 + sum of z_j^2 / (d_j^2 - x) = 0, one between two neighbouring poles d_j^2 and one behind the last. A root is found as
 * its distance mu from the nearer pole, so that all d_j^2 - x are accurate to the last digits (Li, LAPACK Working Note 89).
 */
import { at, get, set } from './rows';

const MAX_STEPS: i32 = 80;
const HALF_ULP: f64 = 1.1102230246251565e-16;

/** Sums of z_j^2 / (gap_j - mu) over a range, and their derivatives by mu. */
let sum: f64 = 0;
let slope: f64 = 0;

export function addTerms(gaps: usize, squares: usize, from: i32, to: i32, mu: f64): void {
  const shift = f64x2.splat(mu);
  let s0 = f64x2.splat(0);
  let s1 = s0;
  let d0 = s0;
  let d1 = s0;
  const one = f64x2.splat(1);
  let j = from;
  for (; j + 4 <= to; j += 4) {
    const q0 = f64x2.div(one, f64x2.sub(v128.load(at(gaps, j)), shift));
    const q1 = f64x2.div(one, f64x2.sub(v128.load(at(gaps, j), 16), shift));
    const t0 = f64x2.mul(v128.load(at(squares, j)), q0);
    const t1 = f64x2.mul(v128.load(at(squares, j), 16), q1);
    s0 = f64x2.add(s0, t0);
    s1 = f64x2.add(s1, t1);
    d0 = f64x2.add(d0, f64x2.mul(t0, q0));
    d1 = f64x2.add(d1, f64x2.mul(t1, q1));
  }
  const s = f64x2.add(s0, s1);
  const d = f64x2.add(d0, d1);
  sum = f64x2.extract_lane(s, 0) + f64x2.extract_lane(s, 1);
  slope = f64x2.extract_lane(d, 0) + f64x2.extract_lane(d, 1);
  for (; j < to; j++) {
    const q = 1 / (get(gaps, j) - mu);
    const t = get(squares, j) * q;
    sum += t;
    slope += t * q;
  }
}

/** gaps_j = d_j^2 - d_origin^2 */
export function setGaps(d: usize, k: i32, origin: i32, gaps: usize): void {
  const from = get(d, origin);
  const v = f64x2.splat(from);
  let j = 0;
  for (; j + 2 <= k; j += 2) {
    const x = v128.load(at(d, j));
    v128.store(at(gaps, j), f64x2.mul(f64x2.sub(x, v), f64x2.add(x, v)));
  }
  if (j < k) set(gaps, j, (get(d, j) - from) * (get(d, j) + from));
}

/** The root of c x^2 - a x + b between low and high; NaN if there is none. */
function quadraticRoot(a: f64, b: f64, c: f64, low: f64, high: f64): f64 {
  const root = Math.sqrt(Math.max(0, a * a - 4 * b * c));
  const q = 0.5 * (a < 0 ? a - root : a + root);
  const x = b / q;
  if (x > low && x < high) return x;
  const y = q / c;
  return y > low && y < high ? y : NaN;
}

function middle(low: f64, high: f64): f64 {
  return low * high > 0 ? (low < 0 ? -1.0 : 1.0) * Math.sqrt(low * high) : 0.5 * (low + high);
}

/**
 * Root `index` of k, ascending. `d` ascending with gaps between neighbours, d_0 = 0; `squares`: z_j^2 > 0. gaps_j becomes d_j^2 - x; returns sqrt(x).
 */
export function solveRoot(d: usize, squares: usize, k: i32, index: i32, gaps: usize): f64 {
  const isLast = index == k - 1;
  if (k == 1) {
    set(gaps, 0, -get(squares, 0));
    return Math.sqrt(get(squares, 0));
  }
  // The two poles of the rational function that stands in for f: those around the root, or the last two.
  const first = isLast ? k - 2 : index;
  const second = first + 1;
  let origin = isLast ? second : first;
  setGaps(d, k, origin, gaps);
  const width = (get(d, second) - get(d, first)) * (get(d, second) + get(d, first));
  let high: f64 = 0.5 * width;
  if (isLast) {
    high = 0;
    for (let j = 0; j < k; j++) high += get(squares, j);
  }
  let low: f64 = 0;
  const probe = isLast ? 0.5 * high : high;
  addTerms(gaps, squares, 0, second, probe);
  let f = 1 + sum;
  addTerms(gaps, squares, second, k, probe);
  f += sum;
  const rest = f - get(squares, first) / (get(gaps, first) - probe) - get(squares, second) / (get(gaps, second) - probe);
  if (isLast) {
    if (f < 0) low = probe;
    else high = probe;
  } else if (f < 0) {
    origin = second;
    setGaps(d, k, origin, gaps);
    low = -high;
    high = 0;
  }
  const both = get(squares, first) + get(squares, second);
  let mu = origin == first
    ? quadraticRoot(rest * width + both, get(squares, first) * width, rest, low, high)
    : quadraticRoot(both - rest * width, -get(squares, second) * width, rest, low, high);
  if (!(mu > low && mu < high)) mu = 0.5 * (low + high);

  const tolerance = HALF_ULP * (8 + Math.sqrt(<f64>k));
  let before = Infinity;
  let stalls = 0;
  for (let step = 0; step < MAX_STEPS; step++) {
    addTerms(gaps, squares, 0, second, mu);
    const left = sum;
    const leftSlope = slope;
    addTerms(gaps, squares, second, k, mu);
    f = 1 + left + sum;
    if (Math.abs(f) <= tolerance * (1 + Math.abs(left) + Math.abs(sum))) break;
    if (f < 0) low = mu;
    else high = mu;
    stalls = Math.abs(f) > 0.5 * before ? stalls + 1 : 0;
    before = Math.abs(f);
    const toFirst = get(gaps, first) - mu;
    const toSecond = get(gaps, second) - mu;
    const a = (toFirst + toSecond) * f - toFirst * toSecond * (leftSlope + slope);
    const c = f - toFirst * leftSlope - toSecond * slope;
    const eta = quadraticRoot(a, toFirst * toSecond * f, c, low - mu, high - mu);
    let next = mu + eta;
    if (stalls > 2 || !(next > low && next < high)) next = middle(low, high);
    if (!(next > low && next < high)) break;
    mu = next;
  }
  const shift = f64x2.splat(mu);
  let j = 0;
  for (; j + 2 <= k; j += 2) v128.store(at(gaps, j), f64x2.sub(v128.load(at(gaps, j)), shift));
  if (j < k) set(gaps, j, get(gaps, j) - mu);
  const pole = get(d, origin);
  return pole + mu / (pole + Math.sqrt(pole * pole + mu));
}
