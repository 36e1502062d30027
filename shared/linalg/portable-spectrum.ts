/**
 * Singular values of a matrix from the fp64 Gram matrix of its shorter side. Squaring hides what is below 1e-8 of the largest value; where that could matter to
 * the sum, the vectors of the larger values are taken out of the matrix and the Gram matrix of the rest tells the smaller ones, level by level.
 */
import type { Matrix, Reals, Spectrum } from './linear-algebra.js';
import { type Level, levelValues, levelVectors } from './portable-levels.js';
import { type LinalgMemory, scaleOf } from './portable-memory.js';
import { shortSide } from './portable-products.js';
import { qr } from './portable-qr.js';

/** Bound of the error of an eigenvalue of a Gram matrix, relative to the largest one. */
const NOISE = 4e-15;
/** Error of the sum of all values, relative to it, that is left as it is. */
const ENOUGH = 3e-8;
/** Values above this part of a level's largest are taken out before the next level: NOISE^(1/4), so that what leaks between levels is as small as noise. */
const STANDS_OUT = 2.5e-4;
/** Below this part of the largest value a level is rounding of the matrix itself. */
const ROUNDING = 1e-15;
const MAX_LEVELS = 6;

/** Values of a level, of which the first `used` count. */
interface Step {
  readonly level: Level;
  readonly values: Float64Array;
  used: number;
}

export function spectrum(memory: LinalgMemory, a: Matrix<Reals>): Spectrum {
  const side = shortSide(a);
  const k = Math.min(a.rows, a.columns);
  const factor = scaleOf(`spectrum of a ${a.rows} x ${a.columns} matrix`, a);
  const steps: Step[] = [];
  let found = 0;
  for (;;) {
    const removed = found === 0 ? undefined : joinVectors(memory, steps, found, k);
    const level = levelValues(memory, a, side, factor, removed);
    const values = level.eigenvalues.slice(0, k - found).map((value) => Math.sqrt(Math.max(0, value)));
    const last: Step = { level, values, used: k - found };
    steps.push(last);
    const standing = values.findIndex((value) => !(value > STANDS_OUT * (values[0] ?? 0)));
    const isRounding = (values[0] ?? 0) <= ROUNDING * (steps[0]?.values[0] ?? 0);
    if (standing <= 0 || isRounding || steps.length === MAX_LEVELS || errorOfSum(steps) <= ENOUGH * sumOf(steps)) break;
    last.used = standing;
    found += standing;
  }
  const all = new Float64Array(k);
  let at = 0;
  for (const { values, used } of steps) {
    for (const value of values.subarray(0, used)) all[at++] = value / factor;
  }
  return { values: all.sort().reverse(), side, vectors: (count) => joinVectors(memory, steps, Math.min(count, k), k) };
}

const sumOf = (steps: readonly Step[]): number =>
  steps.reduce((total, { values, used }) => values.subarray(0, used).reduce((sum, value) => sum + value, total), 0);

function errorOfSum(steps: readonly Step[]): number {
  let error = 0;
  for (const { values, used } of steps) {
    const noise = NOISE * (values[0] ?? 0) ** 2;
    for (const value of values.subarray(0, used)) error += noise / (value + Math.sqrt(noise));
  }
  return error;
}

/** The first `count` vectors: each level's own, and then orthogonal to those of the levels before it. */
function joinVectors(memory: LinalgMemory, steps: readonly Step[], count: number, k: number): Matrix<Float64Array> {
  const data = new Float64Array(count * k);
  let rows = 0;
  let levels = 0;
  for (const { level, used } of steps) {
    const wanted = Math.min(used, count - rows);
    if (wanted <= 0) break;
    data.set(levelVectors(memory, level, wanted).data, rows * k);
    rows += wanted;
    levels++;
  }
  if (levels < 2) return { rows: count, columns: k, data };
  return qr(memory, { rows: count, columns: k, data }, true).q;
}
