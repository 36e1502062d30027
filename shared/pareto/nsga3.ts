/**
 * NSGA-III (Deb & Jain, IEEE TEC 18(4), 2014) over the unit box: needs nothing but values, so it also finds what lies in several valleys.
 * The same seed gives the same run. Beside its population it keeps an archive of the non-dominated points that were ever part of it.
 */
import { createArchive } from './archive.js';
import { nonDominatedRows, sortRowsByDominance } from './dominance.js';
import { createNiching } from './nsga3-niching.js';
import { crossover, mutate, type Variation } from './nsga3-variation.js';
import type { Problem } from './objectives.js';
import { createPointSet, type PointSet, selectPoints } from './point-set.js';
import { seededRandom, shuffle } from './seeded-random.js';

export interface Nsga3Options extends Partial<Variation> {
  /** Rows on the unit simplex; the population has as many members, made a multiple of four, and 40 at least. */
  readonly directions: readonly (readonly number[])[];
  readonly generations: number;
  readonly seed: number;
  /** Of the archive. */
  readonly mostPoints: number;
}

/** Distribution index of crossover and mutation. */
const INDEX = 20;
const LEAST_POPULATION = 40;

/** The given rows to the front of the set, in that order. */
function keepRows(set: PointSet, rows: readonly number[], scratch: PointSet): void {
  const { objectives: m, dimensions: n } = set;
  for (const [to, from] of rows.entries()) {
    for (let t = 0; t < m; t++) scratch.values[to * m + t] = set.values[from * m + t] as number;
    for (let i = 0; i < n; i++) scratch.x[to * n + i] = set.x[from * n + i] as number;
  }
  set.values.set(scratch.values.subarray(0, rows.length * m));
  set.x.set(scratch.x.subarray(0, rows.length * n));
}

export interface Nsga3Result {
  /** The members of the last population that no other member dominates. */
  readonly population: PointSet;
  /** Of all points that were ever in the population, at most `mostPoints` that do not dominate one another. */
  readonly archive: PointSet;
}

export function nsga3(
  problem: Problem,
  { directions, generations, seed, mostPoints, crossoverIndex = INDEX, mutationIndex = INDEX, mutationRate }: Nsga3Options,
): Nsga3Result {
  const { dimensions: n, objectives: m } = problem;
  const random = seededRandom(seed);
  const size = Math.max(LEAST_POPULATION, 4 * Math.ceil(directions.length / 4));
  const variation: Variation = { crossoverIndex, mutationIndex, mutationRate };
  const niching = createNiching(directions, m, random);
  const archive = createArchive(problem, mostPoints);
  // Parents are the first half, children the second.
  const population = createPointSet(problem, 2 * size);
  const scratch = createPointSet(problem, size);
  population.count = 2 * size;
  for (let at = 0; at < size * n; at++) population.x[at] = random();
  for (let row = 0; row < size; row++) problem.evaluate(population.x, row * n, population.values, row * m);
  archive.offer(population, 0, size);
  const order = Int32Array.from({ length: size }, (_, row) => row);
  for (let generation = 0; generation < generations; generation++) {
    shuffle(order, random);
    for (let pair = 0; pair < size; pair += 2)
      crossover(population.x, order[pair] as number, order[pair + 1] as number, population.x, size + pair, n, crossoverIndex, random);
    for (let row = size; row < 2 * size; row++) {
      mutate(population.x, row, n, variation, random);
      problem.evaluate(population.x, row * n, population.values, row * m);
    }
    const levels = sortRowsByDominance(population.values, m, 2 * size, size);
    const survivors = niching.select(population.values, levels, size);
    // Children come last: what survives of them is new.
    survivors.sort((a, b) => a - b);
    keepRows(population, survivors, scratch);
    const parents = survivors.findIndex((row) => row >= size);
    if (parents >= 0) archive.offer(population, parents, size);
  }
  const last = nonDominatedRows(population.values.subarray(0, size * m), m, size);
  return { population: selectPoints(population, last), archive: archive.front() };
}
