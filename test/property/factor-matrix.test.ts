/** Factors as threads write them: against dense fp64 arithmetic, for products of any ranks and dtypes, and for matrices. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { Matrix as MlMatrix } from 'ml-matrix';
import { beforeAll, describe, expect, it } from 'vitest';
import { DTYPE_BYTES, type MergeDType, type StoredTensor } from '../../shared/formats/tensor.js';
import { compileKernels, instantiateKernels } from '../../shared/kernels/kernels.js';
import type { LinearAlgebra } from '../../shared/linalg/linear-algebra.js';
import { storedMatrix, storedProduct } from '../../shared/merge/compile-matrices.js';
import { factorMatrix } from '../../shared/workers/factor-matrix.js';
import type { FactorTask, ProductTerm, StoredProduct } from '../../shared/workers/matrix-job.js';
import { createSourceTableBuilder } from '../../shared/workers/source-table.js';
import { stream } from '../support/random-models.js';
import * as reference from '../support/reference/spectral.js';
import { decode, encode } from '../support/scalar-reference.js';
import { SPECTRAL_ENGINES } from '../support/spectral-engines.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const kernels = instantiateKernels(await compileKernels());

interface Part {
  readonly rank: number;
  readonly weight: number;
  readonly scale: number;
  readonly eta: number | undefined;
  readonly transposed: boolean;
  readonly dtype: MergeDType;
}

interface Case {
  readonly rows: number;
  readonly columns: number;
  readonly parts: readonly Part[];
  readonly rank: number | undefined;
  readonly dtype: MergeDType;
  readonly turned: boolean;
  readonly seed: number;
}

const dtypes = fc.constantFrom('F32' as const, 'F16' as const, 'BF16' as const);
const cases: fc.Arbitrary<Case> = fc.record({
  rows: fc.integer({ min: 1, max: 24 }),
  columns: fc.integer({ min: 1, max: 24 }),
  parts: fc.array(
    fc.record({
      rank: fc.integer({ min: 1, max: 30 }),
      weight: fc.constantFrom(1, -0.5, 0.3),
      scale: fc.constantFrom(1, 2, 16 / Math.sqrt(24)),
      eta: fc.constantFrom(undefined, undefined, 60),
      transposed: fc.boolean(),
      dtype: dtypes,
    }),
    { minLength: 1, maxLength: 4 },
  ),
  rank: fc.constantFrom(undefined, 1, 3, 8, 64),
  dtype: dtypes,
  turned: fc.boolean(),
  seed: fc.integer({ min: 1, max: 1e6 }),
});

let files = 0;

/** Numbers as a file holds them, and as they are. */
function stored(shape: readonly number[], dtype: MergeDType, seed: number): { tensor: StoredTensor; values: Float64Array } {
  const next = stream(seed);
  const count = shape.reduce((product, size) => product * size, 1);
  const bits = Array.from({ length: count }, () => encode(dtype, next() + next() + next() - 1.5));
  const bytes = new Uint8Array((dtype === 'F32' ? Uint32Array.from(bits) : Uint16Array.from(bits)).buffer);
  const path = join(root, `${(files += 1)}`);
  writeFileSync(path, bytes);
  const segments = [{ path, offset: 0, length: bytes.length }];
  return {
    tensor: { name: path, dtype, shape, sizeBytes: bytes.length, segments },
    values: Float64Array.from(bits, (one) => decode(dtype, one)),
  };
}

/** B A of the file, in fp64, as the weight lies. */
function readBack(path: string, { rows, columns, turned, dtype }: FactorTask, rank: number): MlMatrix {
  const bytes = Uint8Array.from(readFileSync(path)).buffer;
  const bits = dtype === 'F32' ? new Uint32Array(bytes) : new Uint16Array(bytes);
  const values = Float64Array.from(bits, (one) => decode(dtype, one));
  const [out, inner] = turned ? [columns, rows] : [rows, columns];
  expect(values.length * DTYPE_BYTES[dtype]).toBe(bytes.byteLength);
  const a = MlMatrix.from1DArray(rank, inner, values.subarray(0, rank * inner));
  const b = MlMatrix.from1DArray(out, rank, values.subarray(rank * inner));
  return turned ? b.mmul(a).transpose() : b.mmul(a);
}

/**
 * Checks what was made of a matrix with these values.
 * @param added norms of what was added up to it: terms that cancel leave their rounding
 */
function check(task: FactorTask, whole: MlMatrix, made: ReturnType<typeof factorMatrix>, added = 0): void {
  const norm = Math.max(added, whole.norm('frobenius'));
  expect(Math.abs(made.norm - whole.norm('frobenius'))).toBeLessThanOrEqual(1e-6 * norm);
  const got = readBack(task.path, task, made.rank);
  const off = MlMatrix.sub(whole, got).norm('frobenius');
  expect(Math.abs(off - made.residualNorm)).toBeLessThanOrEqual(1e-6 * norm);
  if (task.dtype !== 'F32') return;
  // No product of that rank is nearer.
  const tail = Math.hypot(...reference.singularValues(whole).slice(made.rank));
  expect(off).toBeLessThanOrEqual(tail + 2e-6 * norm);
  if (task.size.rank !== undefined) expect(made.rank).toBeLessThanOrEqual(task.size.rank);
}

describe.each(SPECTRAL_ENGINES)('factors, $name', ({ load }) => {
  let la: LinearAlgebra;
  beforeAll(async () => {
    la = await load();
  });

  it('of sums of products are the sums', () => {
    const property = fc.property(cases, ({ rows, columns, parts, rank, dtype, turned, seed }) => {
      const builder = createSourceTableBuilder();
      const whole = MlMatrix.zeros(rows, columns);
      let added = 0;
      const terms = parts.map((part, input): ProductTerm => {
        const [out, inner] = part.transposed ? [columns, rows] : [rows, columns];
        const [left, right] = [
          stored([out, part.rank], part.dtype, seed + 2 * input),
          stored([part.rank, inner], part.dtype, seed + 2 * input + 1),
        ];
        const { scale, transposed } = part;
        const product = { left: left.tensor, right: right.tensor, rank: part.rank, scale, transposed };
        const tensor: StoredTensor = { name: 'w', dtype: 'F32', shape: [rows, columns], sizeBytes: 0, segments: [], product };
        const value = MlMatrix.from1DArray(out, part.rank, left.values)
          .mmul(MlMatrix.from1DArray(part.rank, inner, right.values))
          .mul(scale);
        const kept = part.eta === undefined ? value : reference.star(value, part.eta);
        added += Math.abs(part.weight) * kept.norm('frobenius');
        whole.add((transposed ? kept.transpose() : kept).mul(part.weight));
        return { input, product: storedProduct(builder, tensor) as StoredProduct, weight: part.weight, eta: part.eta };
      });
      const path = join(mkdtempSync(join(root, 'task-')), 'factors');
      const task: FactorTask = { rows, columns, of: { kind: 'products', terms }, size: { rank }, dtype, turned, path };
      const made = factorMatrix(la, kernels, builder.build(), task);
      check(task, whole, made, added);
      const most = Math.min(
        rows,
        columns,
        parts.reduce((sum, part) => sum + part.rank, 0),
      );
      expect(made.rank).toBeLessThanOrEqual(most);
    });
    fc.assert(property, { numRuns: 60 });
  });

  it('of matrices are their truncation', () => {
    const property = fc.property(cases, dtypes, fc.boolean(), ({ rows, columns, rank, dtype, turned, seed }, kept, difference) => {
      const builder = createSourceTableBuilder();
      const [tuned, base] = [stored([rows, columns], kept, seed), stored([rows, columns], kept, seed + 1)];
      const whole = MlMatrix.from1DArray(rows, columns, tuned.values);
      if (!difference) whole.sub(MlMatrix.from1DArray(rows, columns, base.values));
      const matrix = storedMatrix(builder, tuned.tensor);
      const of = { kind: 'matrix', matrix, base: difference ? undefined : storedMatrix(builder, base.tensor) } as const;
      const path = join(mkdtempSync(join(root, 'task-')), 'factors');
      const task: FactorTask = { rows, columns, of, size: { rank }, dtype, turned, path };
      check(task, whole, factorMatrix(la, kernels, builder.build(), task));
    });
    fc.assert(property, { numRuns: 60 });
  });

  it('of nothing are none', () => {
    const builder = createSourceTableBuilder();
    const { tensor } = stored([3, 4], 'F32', 1);
    const of = { kind: 'matrix', matrix: storedMatrix(builder, tensor), base: storedMatrix(builder, tensor) } as const;
    const task: FactorTask = { rows: 3, columns: 4, of, size: {}, dtype: 'F32', turned: false, path: join(root, 'nothing') };
    expect(factorMatrix(la, kernels, builder.build(), task)).toEqual({ rank: 0, norm: 0, residualNorm: 0 });
  });
});
