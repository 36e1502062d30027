/**
 * Points that fill the box. `sobol` continues one scrambled sequence (stretching it towards the border, where quadratics are surest to be found, was
 * measured to gain nothing with metrics that are no quadratics and to lose with few points); `uniform` draws; `grid` is the MAP paper's scheme (its code's Sampling.py):
 * a share of points with all coordinates equal, half of them jittered, the rest a random choice from a regular grid. Unlike there, the number asked
 * for is the number given, no point comes twice, and points whose coordinates add up to 1 take part: plain averages are what one asks about most.
 */
import type { StudySpec } from '../study.js';
import { clamp, fromUnit, keyOf } from './points.js';
import { type RandomStream, randomStream } from './random.js';
import { sobolPoint } from './sobol.js';

const PURPOSE = 1;
const ISOTROPIC_SHARE = 0.2;
const JITTER = 0.1;

/** The side of a grid of which `count` points are a half at most. */
function gridSide(count: number, dimensions: number): number {
  let side = 2;
  // side^dimensions, stopping early: it may be beyond any number.
  const points = (): number => {
    let product = 1;
    for (let k = 0; k < dimensions && product < 2 * count; k++) product *= side;
    return product;
  };
  while (points() < 2 * count) side++;
  return side;
}

function gridDraw(dimensions: number, side: number, random: RandomStream): number[] {
  return Array.from({ length: dimensions }, () => random.index(side) / (side - 1));
}

function isotropicDraw(dimensions: number, random: RandomStream): number[] {
  const along = random.uniform();
  const jitter = random.uniform() < 0.5 ? JITTER : 0;
  return Array.from({ length: dimensions }, () => clamp(along + jitter * random.normal(), 0, 1));
}

/**
 * @param taken keys of points that are not to come again; the new ones are added
 * @param drawn how many samples this study has had before: they are not repeated
 * @returns exactly `count` points of the box
 */
export function sampleBox(
  { dimensions, sampler, seed }: Pick<StudySpec, 'dimensions' | 'sampler' | 'seed'>,
  count: number,
  taken: Set<string>,
  drawn: number,
): number[][] {
  const n = dimensions.length;
  const random = randomStream(seed, PURPOSE, drawn);
  const points: number[][] = [];
  const isotropic = Math.round(ISOTROPIC_SHARE * count);
  let side = gridSide(count, n);
  let refused = 0;
  for (let index = drawn; points.length < count; index++) {
    const unit =
      sampler === 'sobol'
        ? sobolPoint(index, n, seed)
        : sampler === 'uniform'
          ? Array.from({ length: n }, random.uniform)
          : points.length < isotropic
            ? isotropicDraw(n, random)
            : gridDraw(n, side, random);
    const point = fromUnit(dimensions, unit);
    const key = keyOf(point);
    if (taken.has(key)) {
      // A grid that is used up gets finer.
      if (++refused > 10 * count) {
        refused = 0;
        side++;
      }
      continue;
    }
    taken.add(key);
    points.push(point);
  }
  return points;
}
