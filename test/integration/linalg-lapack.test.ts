import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { enginesFolder } from '../../shared/linalg/engines-folder.js';
import { findLapack } from '../../shared/linalg/find-lapack.js';
import { createLapackEngine } from '../../shared/linalg/lapack.js';
import type { LapackChoice } from '../../shared/linalg/lapack-library.js';
import type { LinearAlgebra, Matrix } from '../../shared/linalg/linear-algebra.js';
import { selfTest } from '../../shared/linalg/self-test.js';
import { expectError } from '../support/expect-error.js';
import { declareConformance } from '../support/linalg-conformance.js';
import {
  difference,
  F32,
  frobenius,
  gaussianMatrix,
  largest,
  matrixOf,
  product,
  rowsOffOrthonormal,
  transpose,
  withEigenvalues,
} from '../support/linalg-matrices.js';
import { engineIsRequired } from '../support/required-engines.js';

const found = findLapack({ enginesFolder: enginesFolder(process.env) });

describe.skipIf(!('choice' in found) && !engineIsRequired('lapack'))('lapack', () => {
  const choiceHere = (): LapackChoice => {
    if ('choice' in found) return found.choice;
    throw new Error(`${found.reason}; npm run setup:lapack installs it`);
  };
  const engine = (): LinearAlgebra => createLapackEngine(choiceHere());

  declareConformance('lapack', async () => engine());

  it('gives the same bits in one worker and in two at the same time', async () => {
    const digest = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const worker = new Worker(new URL('../support/lapack-worker.js', import.meta.url), { workerData: choiceHere() });
        worker.once('message', resolve).once('error', reject);
      });
    const alone = await digest();
    expect(await Promise.all([digest(), digest()])).toEqual([alone, alone]);
  });

  it('takes the vectors of a spectrum that is one cluster beside a few values from divide and conquer', () => {
    // The Gram matrix of a diagonal matrix and a rotation within the cluster: eigenvalues that agree to rounding, in a matrix that does not split.
    const size = 90;
    const a = withEigenvalues(
      Array.from({ length: size }, (_, index) => (index < 80 ? 1 + 1e-15 * index : index)),
      61,
    );
    const spectrum = engine().spectrum(a);
    for (const count of [5, 10, 40, 90]) {
      const vectors = spectrum.vectors(count);
      expect(rowsOffOrthonormal(vectors)).toBeLessThan(1e-12);
      const scaled = product(vectors, transpose(a));
      const rest = frobenius(difference(product(transpose(scaled), vectors), a));
      expect(rest).toBeLessThanOrEqual(Math.hypot(...spectrum.values.subarray(count)) + 1e-6);
    }
  });

  it('keeps the nuclear norm of an f32 matrix of low rank, whose Gram matrix has lost the small values', () => {
    const size = 160;
    const a = F32.round(
      matrixOf(size, size, (row, column) => Math.sin(row) * Math.cos(column) + 0.3 * Math.cos(3 * row) * Math.sin(2 * column)),
    );
    const { values } = engine().spectrum(a);
    const exact = engine().singularValues(a);
    const sum = (of: Float64Array): number => of.reduce((total, value) => total + value, 0);
    expect(Math.abs(sum(values) / sum(exact) - 1)).toBeLessThan(1e-9);
    expect(largest(values.map((value, index) => value - (exact[index] as number)))).toBeLessThan(1e-12 * (exact[0] as number));
  });

  it.each([1e-170, 1e160])('takes the spectrum of fp64 numbers of the size of %d, whose squares are none', (factor) => {
    const small = gaussianMatrix(14, 18, 27);
    const spectrum = engine().spectrum({ ...small, data: small.data.map((value) => value * factor) });
    const expected = engine().spectrum(small);
    for (const [index, value] of spectrum.values.entries()) expect(value / factor).toBeCloseTo(expected.values[index] as number, 12);
    const projection = (vectors: Matrix<Float64Array>) => product(transpose(vectors), vectors);
    expect(largest(difference(projection(spectrum.vectors(5)), projection(expected.vectors(5))).data)).toBeLessThan(1e-12);
  });

  it('a library that computes wrongly is found out', () => {
    const right = engine();
    expect(selfTest(right)).toBeUndefined();
    const zero: LinearAlgebra['gemm'] = (a, b, options) => right.gemm(a, b, { ...options, alpha: 1 + 1e-4 });
    expect(selfTest({ ...right, gemm: zero })).toMatch(/^a product in fp64 is off by \d/);
    const svd: LinearAlgebra['svd'] = (a) => ({ ...right.svd(a), s: right.svd(a).s.fill(Number.NaN) });
    expect(selfTest({ ...right, svd })).toMatch(/^a singular value decomposition is off by NaN/);
    const spectrum: LinearAlgebra['spectrum'] = (a) => ({
      ...right.spectrum(a),
      vectors: (count) => right.qr(matrixOf(count, 67, Math.atan2)).r,
    });
    expect(selfTest({ ...right, spectrum })).toMatch(/^the space of singular vectors is off by/);
  });

  it('a file that is no library, and a library without LAPACK, are refused', async () => {
    const other = await expectError('ENGINE_UNAVAILABLE', () => createLapackEngine({ ...choiceHere(), library: import.meta.filename }));
    expect(other.message).toContain('does not load');
    const prefix = await expectError('ENGINE_UNAVAILABLE', () => createLapackEngine({ ...choiceHere(), prefix: 'other_' }));
    expect(prefix.message).toContain('has no other_');
  });
});
