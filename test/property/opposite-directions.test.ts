/** Vectors that point the opposite way but for rounding have no arc between them: nuslerp takes the straight line. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { nuslerpCoefficients } from '../../shared/merge/sphere.js';

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);

it('does not multiply opposite directions by millions', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.01, max: 10, noNaN: true }), { minLength: 1, maxLength: 40 }),
      fc.double({ min: 0.1, max: 10, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (vector, length, t) => {
        const a = vector.map(Math.fround);
        const b = a.map((value) => -length * value);
        const gram = [
          [dot(a, a), dot(a, b)],
          [dot(b, a), dot(b, b)],
        ];
        expect(nuslerpCoefficients(gram, t)).toEqual([1 - t, t]);
      },
    ),
    { numRuns: 500 },
  );
});
