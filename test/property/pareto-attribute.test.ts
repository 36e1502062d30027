/** Shapley values against the definition, and their errors against finite differences. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attribute } from '../../shared/pareto/attribute.js';
import { quadraticSize } from '../../shared/pareto/quadratic.js';
import { quadraticGame } from '../../shared/pareto/quadratic-game.js';
import { exactShapley, identityShapley, sampledShapley } from '../../shared/pareto/shapley.js';
import type { Dimension, LinkName, Surrogate } from '../../shared/pareto/study.js';
import { predict } from '../../shared/pareto/surrogate.js';
import { anyQuadratic, contributorsOf, covarianceOf, dimensionsOf, surrogateOf, tasksOf } from '../support/surrogates.js';

interface Case {
  readonly players: number;
  readonly dimensions: Dimension[];
  readonly surrogate: Surrogate;
  readonly coefficients: number[];
}

/** Two players have two anchors each, and the last coordinate is a parameter of the rule. */
const cases = (link: fc.Arbitrary<LinkName>): fc.Arbitrary<Case> =>
  fc.integer({ min: 2, max: 4 }).chain((players) => {
    const names = contributorsOf(players);
    const owners = [...names, ...names.slice(0, 2), undefined];
    const dimensions = owners.map((contributor, i): Dimension => ({ name: `d${i}`, contributor, lower: 0, upper: 1, neutral: 1 }));
    const n = dimensions.length;
    const size = quadraticSize(n);
    return fc
      .record({
        parameters: anyQuadratic(n),
        chosen: link,
        coefficients: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: n, maxLength: n }),
        factors: fc.array(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: size, maxLength: size }), { minLength: 1, maxLength: 3 }),
      })
      .map(({ parameters, chosen, coefficients, factors }) => ({
        players,
        dimensions,
        surrogate: surrogateOf(
          parameters,
          chosen,
          covarianceOf(
            size,
            factors.map((factor) => factor.map((value) => value / 100)),
          ),
        ),
        coefficients: coefficients.map((eighths) => eighths / 8),
      }));
  });

const anyLink = fc.constantFrom<LinkName>('identity', 'sigmoid', 'softplus', 'exp');

/** The mean of what a player adds over all orders of joining. */
function byDefinition({ players, dimensions, coefficients }: Case, surrogate: Surrogate): number[] {
  const worth = (members: readonly number[]): number =>
    predict(
      surrogate,
      coefficients.map((value, i) => {
        const { contributor } = dimensions[i] ?? {};
        return contributor === undefined || members.some((member) => contributor === `team-${member}`) ? value : 0;
      }),
    );
  const sums = Array.from({ length: players }, () => 0);
  let orders = 0;
  const join = (members: readonly number[], added: readonly number[]): void => {
    if (members.length === players) {
      orders++;
      for (const [i, value] of added.entries()) sums[i] = (sums[i] ?? 0) + value;
      return;
    }
    for (let next = 0; next < players; next++)
      if (!members.includes(next)) {
        const gain = worth([...members, next]) - worth(members);
        join(
          [...members, next],
          added.map((value, i) => (i === next ? gain : value)),
        );
      }
  };
  join(
    [],
    Array.from({ length: players }, () => 0),
  );
  return sums.map((sum) => sum / orders);
}

const spec = ({ players, dimensions }: Case) => ({
  tasks: tasksOf('maximize'),
  contributors: contributorsOf(players),
  dimensions,
  seed: 1,
});

const gameOf = ({ players, dimensions, surrogate, coefficients }: Case) =>
  quadraticGame(
    surrogate,
    dimensions.map(({ contributor }) => (contributor === undefined ? -1 : contributorsOf(players).indexOf(contributor))),
    players,
    coefficients,
  );

describe('attribute', () => {
  it('is what the definition says, and adds up', () => {
    fc.assert(
      fc.property(cases(anyLink), (one) => {
        const found = attribute(spec(one), [one.surrogate], one.coefficients);
        expect(found.map(({ contributor }) => contributor)).toEqual(contributorsOf(one.players));
        const expected = byDefinition(one, one.surrogate);
        for (const [i, { shapley }] of found.entries()) expect(shapley).toBeCloseTo(expected[i] ?? Number.NaN, 9);
        const none = one.coefficients.map((value, i) => (one.dimensions[i]?.contributor === undefined ? value : 0));
        const gain = predict(one.surrogate, one.coefficients) - predict(one.surrogate, none);
        expect(found.reduce((sum, { shapley }) => sum + shapley, 0)).toBeCloseTo(gain, 9);
      }),
    );
  });

  it('has the errors that the covariance of the parameters gives', () => {
    fc.assert(
      fc.property(cases(anyLink), (one) => {
        const { surrogate } = one;
        const { parameters, covariance } = surrogate;
        const size = parameters.length;
        const step = 1e-5;
        const slopes = parameters.map((_, p) => {
          const moved = (by: number): number[] =>
            byDefinition(one, { ...surrogate, parameters: parameters.map((value, other) => (other === p ? value + by : value)) });
          const above = moved(step);
          const below = moved(-step);
          return above.map((value, i) => (value - (below[i] ?? 0)) / (2 * step));
        });
        for (const [i, { standardError }] of attribute(spec(one), [surrogate], one.coefficients).entries()) {
          let variance = 0;
          for (let row = 0; row < size; row++)
            for (let column = 0; column < size; column++)
              variance += (slopes[row]?.[i] ?? 0) * (covariance[row * size + column] ?? 0) * (slopes[column]?.[i] ?? 0);
          expect(standardError).toBeCloseTo(Math.sqrt(Math.max(variance, 0)), 5);
        }
      }),
      { numRuns: 15 },
    );
  });

  it('has one closed form for the identity', () => {
    fc.assert(
      fc.property(cases(fc.constant('identity')), (one) => {
        const game = gameOf(one);
        const closed = identityShapley(one.surrogate, game);
        const exact = exactShapley(one.surrogate, game);
        for (let i = 0; i < one.players; i++) {
          expect(closed.values[i]).toBeCloseTo(exact.values[i] ?? Number.NaN, 9);
          expect(closed.standardErrors[i]).toBeCloseTo(exact.standardErrors[i] ?? Number.NaN, 6);
        }
      }),
    );
  });

  it('samples orders within the error it states', () => {
    fc.assert(
      fc.property(cases(fc.constant('sigmoid')), fc.integer({ min: 0, max: 99 }), (one, seed) => {
        const game = gameOf(one);
        const exact = exactShapley(one.surrogate, game);
        const unsure = sampledShapley(one.surrogate, game, seed, 500);
        const sampled = sampledShapley({ ...one.surrogate, covariance: [] }, game, seed, 500);
        for (let i = 0; i < one.players; i++) {
          expect(sampled.values[i]).toBe(unsure.values[i]);
          const off = Math.abs((sampled.values[i] ?? Number.NaN) - (exact.values[i] ?? 0));
          expect(off).toBeLessThanOrEqual(6 * (sampled.standardErrors[i] ?? 0) + 1e-9);
          // Both sources of error, and the exact one has only the first.
          const both = Math.hypot(sampled.standardErrors[i] ?? 0, exact.standardErrors[i] ?? 0);
          expect(Math.abs((unsure.standardErrors[i] ?? 0) - both)).toBeLessThan(0.05 * both + 1e-3);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('works for twenty contributors, and adds up there', () => {
    const n = 20;
    const parameters = Array.from({ length: quadraticSize(n) }, (_, p) => Math.sin(p) / 4);
    const surrogate = surrogateOf(parameters, 'sigmoid');
    const at = Array.from({ length: n }, (_, i) => (i % 5) / 5);
    const found = attribute(
      { tasks: tasksOf('maximize'), contributors: contributorsOf(n), dimensions: dimensionsOf(n), seed: 3 },
      [surrogate],
      at,
    );
    const gain =
      predict(surrogate, at) -
      predict(
        surrogate,
        at.map(() => 0),
      );
    expect(found.reduce((sum, { shapley }) => sum + shapley, 0)).toBeCloseTo(gain, 9);
    expect(Math.max(...found.map(({ standardError }) => standardError))).toBeGreaterThan(0);
    expect(Math.max(...found.map(({ standardError }) => standardError))).toBeLessThan(0.01);
  });
});
