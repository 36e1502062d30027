/** Values of products as workers read them, held against the textbook, bit by bit: any shape, any range, any company in the room for factors. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MergeDType, StoredTensor } from '../../shared/formats/tensor.js';
import { compileKernels, instantiateKernels } from '../../shared/kernels/kernels.js';
import { createProductReader } from '../../shared/workers/product-reader.js';
import { createSourceTableBuilder, SEGMENT_FIELDS } from '../../shared/workers/source-table.js';
import { stream } from '../support/random-models.js';
import { productElements } from '../support/reference/product.js';
import { decode, encode } from '../support/scalar-reference.js';

const module = await compileKernels();

interface Case {
  readonly rows: number;
  readonly columns: number;
  readonly rank: number;
  readonly transposed: boolean;
  readonly scale: number;
  readonly dtypes: readonly [MergeDType, MergeDType];
  readonly seed: number;
}

const dtype = fc.constantFrom('F32' as const, 'F16' as const, 'BF16' as const);
const sizes = fc.oneof(
  { weight: 6, arbitrary: fc.record({ rows: fc.integer({ min: 1, max: 40 }), columns: fc.integer({ min: 1, max: 70 }) }) },
  fc.record({ rows: fc.integer({ min: 1, max: 3 }), columns: fc.integer({ min: 500, max: 3000 }) }),
  fc.record({ rows: fc.integer({ min: 500, max: 3000 }), columns: fc.integer({ min: 1, max: 3 }) }),
);
const one: fc.Arbitrary<Case> = fc
  .record({
    size: sizes,
    rank: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 30, max: 200 })),
    transposed: fc.boolean(),
    scale: fc.constantFrom(1, 2, 0.5, 1 / 3, -16 / Math.sqrt(24)),
    dtypes: fc.tuple(dtype, dtype),
    seed: fc.integer(),
  })
  .map(({ size, ...rest }) => ({ ...size, ...rest }));

/** A factor's bytes and the numbers they stand for. */
function factor(kind: MergeDType, count: number, next: () => number): { bytes: Uint8Array; values: Float64Array } {
  const bits = Array.from({ length: count }, () => encode(kind, (next() - 0.5) * 4));
  const bytes = new Uint8Array((kind === 'F32' ? Uint32Array.from(bits) : Uint16Array.from(bits)).buffer);
  return { bytes, values: Float64Array.from(bits, (bit) => decode(kind, bit)) };
}

/** A reader over factors in memory, and what it has to give. */
function readerOf(cases: readonly Case[], limitBytes?: number) {
  const builder = createSourceTableBuilder();
  const files: Uint8Array[] = [];
  const store = (shape: readonly number[], kind: MergeDType, bytes: Uint8Array): StoredTensor => {
    const path = `${files.push(bytes) - 1}`;
    return { name: path, dtype: kind, shape, sizeBytes: bytes.length, segments: [{ path, offset: 0, length: bytes.length }] };
  };
  const products = cases.map(({ rows, columns, rank, transposed, scale, dtypes, seed }) => {
    const next = stream(seed);
    const left = factor(dtypes[0], rows * rank, next);
    const right = factor(dtypes[1], rank * columns, next);
    const product = {
      left: store([rows, rank], dtypes[0], left.bytes),
      right: store([rank, columns], dtypes[1], right.bytes),
      rank,
      scale,
      transposed,
    };
    const shape = transposed ? [columns, rows] : [rows, columns];
    const source = builder.addTensor({ name: 'w', dtype: 'F32', shape, sizeBytes: rows * columns * 4, segments: [], product });
    const expected = productElements({ left: left.values, right: right.values, rows, rank, columns, scale, transposed });
    return { source, expected };
  });
  const table = builder.build();
  const kernels = instantiateKernels(module);
  const reader = createProductReader(
    table,
    kernels,
    (source, start, into) => {
      const file = table.segments[(table.starts[source] ?? 0) * SEGMENT_FIELDS] ?? 0;
      into.set((files[file] ?? new Uint8Array()).subarray(start, start + into.length));
    },
    limitBytes,
  );
  const slot = kernels.reserve(Math.max(...products.map(({ expected }) => expected.length)) * 4);
  const read = (source: number, element: number, count: number): Uint32Array => {
    kernels.bytes(slot, count * 4 + 32).fill(0xaa);
    reader.read(source, element, count, slot);
    const bytes = kernels.bytes(slot, count * 4).slice();
    expect(kernels.bytes(slot + count * 4, 4).every((byte) => byte === 0xaa)).toBe(true);
    return new Uint32Array(bytes.buffer);
  };
  return { products, read };
}

const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer, values.byteOffset, values.length);

function expectSame(got: Uint32Array, expected: Float32Array, element: number): void {
  const wanted = bitsOf(expected).subarray(element, element + got.length);
  const wrong = got.findIndex((bits, index) => bits !== wanted[index]);
  if (wrong !== -1) throw new Error(`element ${element + wrong}: got ${got[wrong]}, expected ${wanted[wrong]}`);
}

describe('products', () => {
  it('have the bits of the textbook in any range', () => {
    fc.assert(
      fc.property(
        one,
        fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 6 }),
        (single, ranges) => {
          const { products, read } = readerOf([single]);
          const [{ source, expected } = { source: 0, expected: new Float32Array() }] = products;
          expectSame(read(source, 0, expected.length), expected, 0);
          for (const [from, share] of ranges) {
            const element = Math.floor(from * (expected.length - 1));
            const count = 1 + Math.floor(share * (expected.length - element - 1));
            expectSame(read(source, element, count), expected, element);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('are the same cut into tiles of any size, several by turns, in a room for one', () => {
    fc.assert(
      fc.property(fc.array(one, { minLength: 2, maxLength: 4 }), fc.integer({ min: 1, max: 4000 }), (cases, tile) => {
        const { products, read } = readerOf(cases, 1);
        const longest = Math.max(...products.map(({ expected }) => expected.length));
        const step = Math.max(tile, Math.ceil(longest / 40));
        for (let at = 0; at < longest; at += step)
          for (const { source, expected } of products)
            if (at < expected.length) expectSame(read(source, at, Math.min(step, expected.length - at)), expected, at);
      }),
      { numRuns: 60 },
    );
  });

  it('are the same where a window of rows ends', () => {
    const long: Case = { rows: 3000, columns: 5, rank: 150, transposed: false, scale: 0.25, dtypes: ['BF16', 'F32'], seed: 7 };
    for (const single of [long, { ...long, rows: 5, columns: 3000, transposed: true }]) {
      const { products, read } = readerOf([single]);
      const [{ source, expected } = { source: 0, expected: new Float32Array() }] = products;
      expectSame(read(source, 0, expected.length), expected, 0);
      for (const element of [1083, 1089, 1092, 1099, 2170, 14_990]) expectSame(read(source, element, 7), expected, element);
      expectSame(read(source, 3, 12), expected, 3);
    }
  });
});
