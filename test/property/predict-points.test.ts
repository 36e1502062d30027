/** Many points at a time and one at a time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { predictPoints } from '../../shared/pareto/predict-points.js';
import { quadraticSize } from '../../shared/pareto/quadratic.js';
import type { LinkName } from '../../shared/pareto/study.js';
import { predictPoint } from '../../shared/pareto/surrogate.js';
import { anyQuadratic, covarianceOf, surrogateOf } from '../support/surrogates.js';

describe('predictPoints', () => {
  it('says the same as predictPoint of each', () => {
    const size = quadraticSize(3);
    fc.assert(
      fc.property(
        anyQuadratic(3),
        fc.constantFrom<LinkName>('identity', 'sigmoid', 'softplus', 'exp'),
        fc.array(fc.array(fc.integer({ min: -5, max: 5 }), { minLength: size, maxLength: size }), { minLength: 1, maxLength: 3 }),
        fc.array(fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 3, maxLength: 3 }), { maxLength: 9 }),
        (parameters, link, factors, tenths) => {
          const surrogates = [surrogateOf(parameters, link, covarianceOf(size, factors)), surrogateOf(parameters)];
          const points = tenths.map((point) => point.map((value) => value / 10));
          const found = predictPoints(surrogates, points);
          expect(found).toHaveLength(points.length);
          for (const [at, point] of points.entries()) {
            const one = predictPoint(surrogates, point);
            expect(found[at]?.coefficients).toEqual(point);
            expect(found[at]?.predicted).toEqual(one.predicted);
            expect(found[at]?.predictedErrors[0]).toBeCloseTo(one.predictedErrors[0] ?? Number.NaN, 5);
            expect(found[at]?.predictedErrors[1]).toBe(0);
          }
        },
      ),
    );
  });
});
