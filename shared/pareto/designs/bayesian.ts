/**
 * Bayesian MAP (arXiv 2406.07529): half of the budget fills the box, the rest goes, in rounds, to directions that surrogates explain worst.
 * Directions are angles of the box's own coordinates (0 at the lower bounds, 1 at the upper ones), so any box will do. Each round fits again to all
 * that is measured by then. A point's loss is the squared residual of a fit without it; within a bin the draw is taken that is farthest from
 * what is known and least sure.
 */
import { type DetailedFit, fitInDetail } from '../fit-surrogate.js';
import { pointsOfTask } from '../fit-surrogates.js';
import type { Proposal, StudySpec } from '../study.js';
import { predictionError } from '../surrogate.js';
import { binOf, drawInBin, fromPolar, pick, probabilities, scoreBins, toPolar } from './angles.js';
import { budgetOf, totalOf } from './budget.js';
import { candidatesFor, firstBatch, moreSamples, openEndedBatch } from './map.js';
import { type MeasuredBook, unasked } from './measured-book.js';
import { clamp, fromUnit, keyOf, toUnit } from './points.js';
import { type RandomStream, randomStream } from './random.js';
import { referencePoints } from './reference-points.js';

const PURPOSE = 2;
const FIRST_SHARE = 0.5;
const ROUNDS = 4;
/** Of deviations in scores, as in the paper's code. */
const DOUBT = 0.5;
/** The code's 0.07 is for scores as they come; ours are shares of the largest. */
const TEMPERATURE = 0.3;
/** Radii are this share of the way to the border of the box, or more: nearer to the corner where all directions meet, little is unknown. */
const LEAST_RADIUS = 0.5;
const DRAWS = 64;
/** Tasks get draws by the variance that is unexplained, from this on. */
const LEAST_SHARE = 0.05;

const binsPerAngle = (dimensions: number): number => (dimensions < 4 ? 4 : 2);

/** A draw of the bin, somewhere between the lower corner and where the ray leaves the box. */
function drawPoint(bin: readonly number[], perAngle: number, random: RandomStream): number[] {
  const direction = fromPolar({ radius: 1, angles: drawInBin(bin, perAngle, random) });
  const border = 1 / Math.max(...direction);
  const radius = border * (LEAST_RADIUS + (1 - LEAST_RADIUS) * random.uniform());
  return direction.map((part) => clamp(radius * part, 0, 1));
}

function distance(a: readonly number[], b: readonly number[]): number {
  let sum = 0;
  for (const [index, value] of a.entries()) sum += (value - (b[index] as number)) * (value - (b[index] as number));
  return Math.sqrt(sum);
}

/** Draws points where one task's surrogate is worst, away from `known` (in box coordinates), which they join. */
function createDrawer(spec: StudySpec, { surrogate, points }: DetailedFit, random: RandomStream, known: number[][]): () => number[] {
  const { dimensions } = spec;
  const perAngle = binsPerAngle(dimensions.length);
  const bins = scoreBins(
    points.map(({ coefficients }) => binOf(toPolar(toUnit(dimensions, coefficients)).angles, perAngle)),
    points.map(({ value, leftOut }) => (value - leftOut) * (value - leftOut)),
    DOUBT,
    random,
  );
  const worst = Math.max(...bins.map(({ score }) => score));
  const shares = probabilities(
    bins.map(({ score }) => (worst > 0 ? score / worst : 0)),
    TEMPERATURE,
  );
  return () => {
    const { bin } = bins[pick(shares, random)] as (typeof bins)[number];
    let best: number[] = [];
    let most = -Infinity;
    for (let draw = 0; draw < DRAWS; draw++) {
      const unit = drawPoint(bin, perAngle, random);
      const apart = Math.min(...known.map((other) => distance(unit, other)), dimensions.length);
      const worth = apart * (surrogate.covariance.length > 0 ? predictionError(surrogate, fromUnit(dimensions, unit)) : 1);
      if (worth > most) [best, most] = [unit, worth];
    }
    known.push(best);
    return fromUnit(dimensions, best);
  };
}

function adaptiveBatch(spec: StudySpec, book: MeasuredBook, count: number): Proposal[] {
  const random = randomStream(spec.seed, PURPOSE, book.candidates.length);
  const fits = spec.tasks
    .map((task, index) => fitInDetail(task, spec.surrogate, spec.dimensions.length, pointsOfTask(spec, book.candidates, index)))
    .filter(({ points }) => points.length > 0);
  // Nothing at all could be measured: more of the same.
  if (fits.length === 0) return moreSamples(spec, book, count, []);
  const known = book.candidates.map(({ coefficients }) => toUnit(spec.dimensions, coefficients));
  const drawers = fits.map((fit) => createDrawer(spec, fit, random, known));
  const unexplained = fits.map(({ surrogate }) => clamp(1 - surrogate.quality.heldOutR2, LEAST_SHARE, 1));
  const total = unexplained.reduce((sum, share) => sum + share, 0);
  const shares = unexplained.map((share) => share / total);
  const taken = book.keys();
  const proposals: Proposal[] = [];
  // A draw that is there already is drawn again; with 32 bits of each coordinate that is next to never.
  for (let draw = 0; proposals.length < count && draw < 100 * count; draw++) {
    const coefficients = (drawers[pick(shares, random)] as () => number[])();
    const key = keyOf(coefficients);
    if (taken.has(key)) continue;
    taken.add(key);
    proposals.push({ kind: 'adaptive', coefficients });
  }
  return proposals;
}

export function bayesianBatch(spec: StudySpec, book: MeasuredBook, left: number): Proposal[] {
  const references = referencePoints(spec);
  const openEnded = budgetOf(spec).kind === 'minutes';
  const total = candidatesFor(spec, totalOf(spec));
  const first = openEnded ? openEndedBatch(spec) : Math.max(Math.round(FIRST_SHARE * total) - references.length, 0);
  if (unasked(book, references).length > 0) return firstBatch(spec, book, left, first);
  const later = total - references.length - first;
  const round = openEnded ? openEndedBatch(spec) : Math.max(1, Math.ceil(later / ROUNDS));
  const count = Math.min(round, candidatesFor(spec, left));
  return count > 0 ? adaptiveBatch(spec, book, count) : [];
}
