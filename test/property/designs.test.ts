import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { costOf, counts, totalOf } from '../../shared/pareto/designs/budget.js';
import { nextBatch, plannedCandidates } from '../../shared/pareto/designs/next-batch.js';
import { keyOf } from '../../shared/pareto/designs/points.js';
import { hashOf } from '../../shared/pareto/designs/random.js';
import { referencePoints } from '../../shared/pareto/designs/reference-points.js';
import { isInBox } from '../../shared/pareto/fit-surrogates.js';
import type { Budget, Dimension, Measured, MeasuredCandidate, Method, SamplerKind, StudySpec, Task } from '../../shared/pareto/study.js';
import { type Metric, measureBatch, playStudy } from '../support/pareto-study.js';

const chance = (...words: readonly number[]): number => hashOf(...words) / 4294967296;

const specs: fc.Arbitrary<StudySpec> = fc
  .record({
    contributors: fc.integer({ min: 1, max: 5 }),
    anchors: fc.constantFrom(undefined, 2),
    lambda: fc.boolean(),
    weights: fc.boolean(),
    box: fc.constantFrom([0, 1], [0, 0.7], [-0.5, 1.5], [0.1, 2]),
    tasks: fc.integer({ min: 1, max: 4 }),
    method: fc.constantFrom<Method>('map', 'bayesian', 'nested', 'adamerging', 'recycle'),
    sampler: fc.constantFrom<SamplerKind>('sobol', 'grid', 'uniform'),
    seed: fc.integer({ min: 0, max: 1e12 }),
    greedySoup: fc.boolean(),
    budget: fc.oneof(
      fc.constant(undefined),
      fc.record({ kind: fc.constant('candidates' as const), candidates: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ kind: fc.constant('evaluations' as const), evaluations: fc.integer({ min: 1, max: 150 }) }),
    ),
    preference: fc.constantFrom(undefined, 0, 3),
  })
  .map(({ contributors, anchors, lambda, weights, box: [lower = 0, upper = 1], tasks, budget, preference, ...rest }) => {
    const names = Array.from({ length: contributors }, (_, index) => `team-${index}`);
    const own = names.flatMap((contributor): Dimension[] =>
      Array.from({ length: anchors ?? 1 }, (_, anchor) => ({
        name: anchors === undefined ? contributor : `${contributor}[${anchor}]`,
        contributor,
        anchor: anchors === undefined ? undefined : anchor,
        lower,
        upper,
        neutral: 1,
      })),
    );
    const parameter: Dimension = { name: 'lambda', lower: 0.2, upper: 1.5, neutral: 1 };
    const list = Array.from({ length: tasks }, (_, index): Task => {
      if (index === 0) return { name: names[0] ?? '', metric: 'entropy', direction: 'minimize', lower: 0 };
      return { name: `task ${index}`, metric: 'accuracy', direction: 'maximize', lower: 0, upper: 1 };
    });
    return {
      ...rest,
      budget: budget as Budget | undefined,
      tasks: list,
      contributors: names,
      dimensions: [...(weights ? own : []), ...(lambda || !weights ? [parameter] : [])],
      preferences: new Map(preference === undefined ? [] : [[list[0]?.name ?? '', preference]]),
      surrogate: { link: 'auto', ridge: 'auto', minR2: 0.2 },
    } satisfies StudySpec;
  });

/** Smooth metrics, of which a share is never reported, some as NaN. */
const losing =
  (seed: number, share: number): Metric =>
  (coefficients, task, id): Measured | undefined => {
    const drawn = chance(seed, task, id);
    if (drawn < share) return drawn < share / 2 ? undefined : { value: Number.NaN };
    const distance = coefficients.reduce((sum, value, index) => sum + (value - chance(task, index)) ** 2, 0);
    const value = task === 0 ? 0.1 + distance : Math.exp(-distance);
    const gradient = coefficients.map((at, index) => 2 * (at - chance(task, index)));
    return { value, gradient: chance(seed, task, id, 1) < 0.5 && task === 0 ? gradient : undefined };
  };

const spent = (spec: StudySpec, history: readonly MeasuredCandidate[]): number =>
  history.filter(counts).reduce((sum, candidate) => sum + costOf(spec, candidate), 0);

describe('any design', () => {
  it('ends, within its budget, with each point once and in the box, whatever goes missing', () => {
    fc.assert(
      fc.property(specs, fc.integer({ min: 0, max: 1e9 }), fc.constantFrom(0, 0.3, 1), (spec, seed, share) => {
        const history = playStudy(spec, losing(seed, share), 700);
        expect(nextBatch(spec, history)).toEqual([]);

        const references = referencePoints(spec);
        const least = (references.length + 1) * costOf(spec, {});
        expect(spent(spec, history)).toBeLessThanOrEqual(Math.max(totalOf(spec), least));
        expect(history.length).toBeLessThanOrEqual(
          Math.max(plannedCandidates(spec) ?? Infinity, references.length + 1 + spec.contributors.length),
        );

        // A point comes again only for other tasks, or as a result.
        const seen = new Map<string, Set<number>>();
        for (const { kind, coefficients, tasks } of history) {
          if (kind === 'result') continue;
          const key = keyOf(coefficients);
          const before = seen.get(key) ?? new Set();
          const wanted = [...(tasks ?? spec.tasks.keys())];
          expect(wanted.every((task) => before.has(task))).toBe(false);
          seen.set(key, new Set([...before, ...wanted]));
        }
        for (const { kind, coefficients } of history) {
          expect(coefficients).toHaveLength(spec.dimensions.length);
          for (const value of coefficients) expect(Number.isFinite(value)).toBe(true);
          if (kind === 'sample' || kind === 'adaptive') expect(isInBox(spec.dimensions, coefficients)).toBe(true);
        }
        const first = history.filter(({ batch }) => batch === 0).map(({ coefficients }) => keyOf(coefficients));
        for (const { coefficients } of references) expect(first).toContain(keyOf(coefficients));
        const results = history.filter(({ kind }) => kind === 'result').map(({ label }) => label);
        expect(new Set(results).size).toBe(results.length);
        if (spec.method !== 'map' && spec.method !== 'bayesian') expect(results).toContain(spec.method);
      }),
      { numRuns: 250 },
    );
  });

  it('says the same again, and is not disturbed by what people materialise', () => {
    fc.assert(
      fc.property(specs, fc.integer({ min: 0, max: 1e9 }), (spec, seed) => {
        const metric = losing(seed, 0.1);
        const history: MeasuredCandidate[] = [];
        for (let batch = 0; batch < 12; batch++) {
          const proposals = nextBatch(spec, history);
          expect(nextBatch(spec, history)).toEqual(proposals);
          const coefficients = spec.dimensions.map(({ lower, upper }, index) => lower + (upper - lower) * chance(seed, batch, index));
          const materialised = measureBatch(spec, [{ kind: 'materialised', coefficients }], metric, batch, 1000 + batch);
          expect(nextBatch(spec, [...history, ...materialised])).toEqual(proposals);
          if (proposals.length === 0) break;
          history.push(...measureBatch(spec, proposals, metric, batch, history.length));
        }
      }),
      { numRuns: 100 },
    );
  });

  it('goes on for ever where the clock ends it', () => {
    fc.assert(
      fc.property(specs, (drawn) => {
        const spec: StudySpec = {
          ...drawn,
          budget: { kind: 'minutes', minutes: 5 },
          method: drawn.method === 'bayesian' ? 'bayesian' : 'map',
        };
        expect(plannedCandidates(spec)).toBeUndefined();
        const history = playStudy(spec, losing(1, 0.1), 6);
        const batches = Array.from({ length: 6 }, (_, batch) => history.filter((candidate) => candidate.batch === batch));
        for (const batch of batches) expect(batch.length).toBeGreaterThanOrEqual(8);
        const keys = history.filter(({ kind }) => kind !== 'result').map(({ coefficients }) => keyOf(coefficients));
        expect(new Set(keys).size).toBe(keys.length);
      }),
      { numRuns: 40 },
    );
  });
});
