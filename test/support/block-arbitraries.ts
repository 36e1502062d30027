/** Numbers that vectors are tested with: signed zeros, subnormals, ties of magnitude, values near the ends of each dtype. */
import fc from 'fast-check';
import type { Round } from './block-reference.js';

const SPECIAL = [
  0,
  -0,
  2 ** -149,
  -(2 ** -149),
  2 ** -126,
  2 ** -24,
  2 ** -25,
  65_519,
  65_520,
  -65_536,
  3.3895e38,
  -3.4e38,
  1,
  -1,
  0.5,
  -0.5,
];

export const countArbitrary = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(511, 513, 1024, 4091, 4096));

export const valueArbitrary: fc.Arbitrary<number> = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(...SPECIAL) },
  { weight: 4, arbitrary: fc.integer({ min: -6, max: 6 }).map((value) => value / 8) },
  { weight: 4, arbitrary: fc.double({ min: -4, max: 4, noNaN: true }) },
);

/** A vector of the precision: a few drawn values, repeated by a hash of the index, so that long ones cost little. */
export const vectorArbitrary = (round: Round, count: fc.Arbitrary<number> = countArbitrary): fc.Arbitrary<number[]> =>
  fc
    .tuple(count, fc.array(valueArbitrary, { minLength: 1, maxLength: 40 }), fc.integer({ min: 0, max: 0xffff }))
    .map(([length, values, salt]) =>
      Array.from({ length }, (_, index) => {
        const picked = length <= values.length ? index : Math.imul(index ^ salt, 0x9e3779b1) >>> 7;
        return round(values[picked % values.length] ?? 0);
      }),
    );

/** n vectors of one length. */
export const vectorsArbitrary = (round: Round, maximum = 13): fc.Arbitrary<number[][]> =>
  fc
    .tuple(
      fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: maximum })),
      fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(515)),
    )
    .chain(([n, count]) => fc.array(vectorArbitrary(round, fc.constant(count)), { minLength: n, maxLength: n }));
