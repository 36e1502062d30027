/** What the thread of fits sends back is what it found, bit for bit. */
import { expect, it } from 'vitest';
import { dominatedCandidates, fitStudy } from '../../coordinator/pareto/fit.js';
import { packFit, unpackFit } from '../../coordinator/pareto/fit-jobs.js';
import type { MeasuredCandidate, StudySpec } from '../../shared/pareto/study.js';
import { twoTasks } from '../support/study-coordinator.js';

const dimension = (name: string) => ({ name, contributor: name, lower: 0, upper: 1, neutral: 1 });
const spec: StudySpec = {
  tasks: Object.keys(twoTasks).map((name) => ({ name, metric: 'score', direction: 'maximize' })),
  method: 'map',
  sampler: 'sobol',
  seed: 0,
  preferences: new Map(),
  greedySoup: false,
  surrogate: { link: 'auto', ridge: 'auto', minR2: 0.2 },
  contributors: ['a', 'b'],
  dimensions: [dimension('a'), dimension('b')],
};

function candidate(id: number, coefficients: readonly number[], tasks = 2): MeasuredCandidate {
  const measured = spec.tasks.map(({ name }, task) => (task < tasks ? { value: twoTasks[name]?.(coefficients) ?? 0 } : undefined));
  return { id, batch: 0, kind: 'sample', coefficients, measured };
}

const grid = [0, 0.5, 1].flatMap((a) => [0, 0.5, 1].map((b) => [a, b] as const));
const candidates = grid.map((coefficients, index) => candidate(index + 1, coefficients));

it('a fit survives packing', () => {
  const fit = fitStudy(spec, candidates, () => 0);
  expect(fit).toMatchObject({ state: 'serving', evaluations: 18 });
  expect(fit.surrogates.some(({ covariance }) => covariance.length > 0)).toBe(true);
  const packed = packFit(fit);
  expect(unpackFit({ json: packed.json, covariances: Float64Array.from(packed.covariances) })).toEqual(fit);
});

it('too little measured is no front, and says how much there is', () => {
  const fit = fitStudy(spec, candidates.slice(0, 3), () => 0);
  expect([fit.state, fit.front, fit.surrogates.map(({ quality }) => quality.measurements)]).toEqual(['measuring', undefined, [3, 3]]);
});

it('only what is measured in every task is compared', () => {
  const partial = candidate(10, [0, 0], 1);
  const dominated = dominatedCandidates(spec, [...candidates, partial]);
  const whole = [...candidates, partial].filter((_, index) => dominated[index]);
  expect(whole.map(({ id, coefficients }) => [id, coefficients])).toEqual([
    [1, [0, 0]],
    [9, [1, 1]],
  ]);
});
