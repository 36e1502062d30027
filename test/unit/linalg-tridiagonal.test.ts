import { describe, expect, it } from 'vitest';
import { gaussian, randomStream } from '../../client/train/random.js';
import { normOf, scratchOf, splitBlocks, type Tridiagonal, twistedVector } from '../../shared/linalg/lapack-tridiagonal.js';

/** Eigenvalues 2 - 2 cos(pi i / (n + 1)), vectors of sines. */
const secondDifference = (size: number): Tridiagonal => ({
  diagonal: new Float64Array(size).fill(2),
  beside: new Float64Array(size - 1).fill(-1),
});

const eigenvalue = (size: number, index: number): number => 2 - 2 * Math.cos((Math.PI * (index + 1)) / (size + 1));

function vectorOf(matrix: Tridiagonal, value: number): Float64Array | undefined {
  const vector = new Float64Array(matrix.diagonal.length);
  return twistedVector(matrix, value, normOf(matrix), scratchOf(vector.length), vector) ? vector : undefined;
}

function residual({ diagonal, beside }: Tridiagonal, value: number, vector: Float64Array): number {
  const rest = vector.map(
    (element, index) =>
      ((diagonal[index] as number) - value) * element +
      (beside[index - 1] ?? 0) * (vector[index - 1] ?? 0) +
      (beside[index] ?? 0) * (vector[index + 1] ?? 0),
  );
  return Math.hypot(...rest);
}

describe('twisted factorisations', () => {
  it.each([2, 3, 10, 101, 500])('give the sines that are the vectors of a second difference of %d', (size) => {
    const matrix = secondDifference(size);
    for (let index = 0; index < size; index += Math.ceil(size / 9)) {
      const vector = vectorOf(matrix, eigenvalue(size, index)) as Float64Array;
      const sign = Math.sign(vector[0] as number);
      const expected = vector.map((_, at) => sign * Math.sqrt(2 / (size + 1)) * Math.sin((Math.PI * (index + 1) * (at + 1)) / (size + 1)));
      expect(Math.hypot(...vector.map((element, at) => element - (expected[at] as number)))).toBeLessThan(1e-9);
    }
  });

  it('mend an eigenvalue that is slightly off, and refuse one that is none', () => {
    const matrix = secondDifference(60);
    const vector = vectorOf(matrix, eigenvalue(60, 20) + 2e-13) as Float64Array;
    expect(residual(matrix, eigenvalue(60, 20), vector)).toBeLessThan(1e-13);
    expect(vectorOf(matrix, (eigenvalue(60, 20) + eigenvalue(60, 21)) / 2)).toBeUndefined();
    expect(vectorOf(matrix, Number.NaN)).toBeUndefined();
  });

  it('are undisturbed by pivots that are zero, and by vectors that vanish at almost every place', () => {
    // Zero diagonal: every other pivot of the eigenvalue 0 is zero.
    const hollow: Tridiagonal = { diagonal: new Float64Array(9), beside: new Float64Array(8).fill(1) };
    expect(residual(hollow, 0, vectorOf(hollow, 0) as Float64Array)).toBeLessThan(1e-14);
    // Graded: the vector of the largest value is one at the end and falls by 1e-8 a step.
    const graded: Tridiagonal = {
      diagonal: Float64Array.from({ length: 80 }, (_, index) => 1 + index),
      beside: new Float64Array(79).fill(1e-8),
    };
    const vector = vectorOf(graded, 80) as Float64Array;
    expect(vector[79]).toBeCloseTo(1, 12);
    expect(vector.filter((element) => element === 0).length).toBeGreaterThan(70);
  });

  it("tell by their overlap that Wilkinson's largest values agree to all digits", () => {
    const matrix: Tridiagonal = {
      diagonal: Float64Array.from({ length: 21 }, (_, index) => Math.abs(index - 10)),
      beside: new Float64Array(20).fill(1),
    };
    // Wilkinson, The Algebraic Eigenvalue Problem: both are 10.7461941829034 to thirteen places.
    const one = vectorOf(matrix, 10.746194182903322) as Float64Array;
    const other = vectorOf(matrix, 10.746194182903393) as Float64Array;
    const overlap = one.reduce((sum, element, index) => sum + element * (other[index] as number), 0);
    expect(Math.abs(overlap)).toBeGreaterThan(1e-6);
  });

  it('leave no more than rounding, whatever the matrix', () => {
    const random = randomStream(3, 'tridiagonal');
    for (let round = 0; round < 40; round += 1) {
      const size = 2 + Math.floor(random() * 60);
      const matrix: Tridiagonal = {
        diagonal: Float64Array.from({ length: size }, () => gaussian(random) * 10 ** (4 * random() - 2)),
        beside: Float64Array.from({ length: size - 1 }, () => gaussian(random) * 10 ** (4 * random() - 2)),
      };
      const value = largestEigenvalue(matrix);
      expect(residual(matrix, value, vectorOf(matrix, value) as Float64Array)).toBeLessThan(1e-13 * normOf(matrix));
    }
  });
});

/** By bisection on the number of negative pivots. */
function largestEigenvalue(matrix: Tridiagonal): number {
  let [low, high] = [-normOf(matrix), normOf(matrix)];
  for (let step = 0; step < 200; step += 1) {
    const middle = (low + high) / 2;
    let pivot = 1;
    let below = 0;
    for (const [index, diagonal] of matrix.diagonal.entries()) {
      pivot = diagonal - middle - (index === 0 ? 0 : (matrix.beside[index - 1] as number) ** 2 / pivot);
      if (pivot === 0) pivot = Number.MIN_VALUE;
      if (pivot < 0) below += 1;
    }
    if (below < matrix.diagonal.length) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

describe('splitting', () => {
  it('parts a matrix where elements beside the diagonal are nothing to its norm, and nowhere else', () => {
    const matrix: Tridiagonal = { diagonal: Float64Array.of(4, 3, 2, 1, 1), beside: Float64Array.of(1e-20, 1e-9, 0, 1) };
    expect(splitBlocks(matrix, normOf(matrix))).toEqual([0, 1, 3, 5]);
    expect([...matrix.beside]).toEqual([0, 1e-9, 0, 1]);
    const zero: Tridiagonal = { diagonal: new Float64Array(3), beside: new Float64Array(2) };
    expect(splitBlocks(zero, 0)).toEqual([0, 1, 2, 3]);
  });
});
