import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MergeDType } from '../../shared/formats/tensor.js';
import { compileKernels, DTYPE_CODE, instantiateKernels, RECORD_BYTES, VALUE_MODE } from '../../shared/kernels/kernels.js';
import { decode, encode, f32Bits, f32FromBits, isNaNBits, type ReferenceTile, referenceTile } from '../support/scalar-reference.js';

const kernels = instantiateKernels(await compileKernels());
const DTYPES = ['F32', 'F16', 'BF16'] as const;
const widthOf = (dtype: MergeDType) => (dtype === 'F32' ? 4 : 2);

function put(dtype: MergeDType, bits: readonly number[]): number {
  const pointer = kernels.reserve(bits.length * widthOf(dtype));
  const view = kernels.view();
  bits.forEach((value, index) =>
    dtype === 'F32' ? view.setUint32(pointer + index * 4, value, true) : view.setUint16(pointer + index * 2, value, true),
  );
  return pointer;
}

function get(dtype: MergeDType, pointer: number, count: number): number[] {
  const view = kernels.view();
  return Array.from({ length: count }, (_, index) =>
    dtype === 'F32' ? view.getUint32(pointer + index * 4, true) : view.getUint16(pointer + index * 2, true),
  );
}

/** Equal bits; a NaN matches any quiet NaN. */
function expectBits(dtype: MergeDType, got: readonly number[], expected: readonly number[], nanMatters = true): void {
  const quietBit = dtype === 'F32' ? 0x400000 : dtype === 'BF16' ? 0x40 : 0x200;
  got.forEach((bits, index) => {
    const want = expected[index] ?? 0;
    if (!nanMatters && Number.isNaN(want)) return;
    const same = Number.isNaN(want) || isNaNBits(dtype, want) ? isNaNBits(dtype, bits) && (bits & quietBit) !== 0 : bits === want;
    if (!same) throw new Error(`element ${index}: got ${bits.toString(16)}, expected ${want.toString(16)}`);
  });
  expect(got.length).toBe(expected.length);
}

const SPECIAL_F32 = [
  0, 0x80000000, 1, 0x80000001, 0x7fffff, 0x800000, 0x7f7fffff, 0x7f7f8000, 0x7f7f7fff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
  0xffffffff,
];
const TIES_F32 = [
  0x3f808000, 0x3f818000, 0x477fefff, 0x477ff000, 0x477fffff, 0x47800000, 0x38800000, 0x387fffff, 0x33000000, 0x33000001, 0x33800000,
  0x33c00000, 0x3f801000, 0x3f803000,
];
const bitsOf = (dtype: MergeDType, finite = false): fc.Arbitrary<number> => {
  const any =
    dtype === 'F32'
      ? fc.oneof(
          fc.constantFrom(...SPECIAL_F32, ...TIES_F32),
          fc.integer({ min: 0, max: 0xffffffff }),
          fc.float({ min: -4, max: 4, noNaN: true }).map(f32Bits),
        )
      : fc.oneof(
          fc.constantFrom(0, 0x8000, 1, 0x3ff, 0x400, 0x7bff, 0x7c00, 0x7f7f, 0x7f80, 0x7f81, 0xffff),
          fc.integer({ min: 0, max: 0xffff }),
          fc.integer({ min: 0x3000, max: 0x4200 }),
        );
  return finite ? any.filter((bits) => Number.isFinite(decode(dtype, bits))) : any;
};
const dtypeArbitrary = fc.constantFrom(...DTYPES);
const countArbitrary = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1023, 1024, 1025, 2050));

describe('conversions', () => {
  it('widens all 65,536 values of f16 and bf16 exactly', () => {
    for (const dtype of ['F16', 'BF16'] as const) {
      kernels.reset();
      const bits = Array.from({ length: 65_536 }, (_, index) => index);
      const from = put(dtype, bits);
      const to = kernels.reserve(65_536 * 4);
      kernels.run.widen(from, DTYPE_CODE[dtype], to, 65_536);
      const got = get('F32', to, 65_536);
      for (const index of bits) {
        const value = decode(dtype, index);
        const same = Number.isNaN(value) ? Number.isNaN(f32FromBits(got[index] ?? 0)) : got[index] === f32Bits(value);
        if (!same) throw new Error(`${dtype} ${index.toString(16)} became ${got[index]?.toString(16)}`);
      }
      const back = kernels.reserve(65_536 * 2);
      kernels.run.narrow(to, back, DTYPE_CODE[dtype], 65_536);
      expectBits(dtype, get(dtype, back, 65_536), bits);
    }
  });

  it('narrows to nearest, ties to even', () => {
    fc.assert(
      fc.property(dtypeArbitrary, fc.array(bitsOf('F32'), { minLength: 1, maxLength: 70 }), (dtype, bits) => {
        kernels.reset();
        const from = put('F32', bits);
        const to = kernels.reserve(bits.length * widthOf(dtype));
        kernels.run.narrow(from, to, DTYPE_CODE[dtype], bits.length);
        if (dtype === 'F32') expect(get(dtype, to, bits.length)).toEqual(bits);
        else
          expectBits(
            dtype,
            get(dtype, to, bits.length),
            bits.map((value) => encode(dtype, f32FromBits(value))),
          );
      }),
    );
  });
});

function runTile(tile: ReferenceTile, groupSize: number): { bits: number[]; bad: boolean } {
  kernels.reset();
  const count = tile.inputs[0]?.bits.length ?? 0;
  const base = tile.base === undefined ? 0 : put(tile.base.dtype, tile.base.bits);
  const baseCode = DTYPE_CODE[tile.base?.dtype ?? 'F32'];
  const pointers = tile.inputs.map((input) => put(input.dtype, input.bits));
  const records = kernels.reserve(tile.inputs.length * RECORD_BYTES);
  const kept = groupSize < tile.inputs.length ? kernels.reserve((count + 8) * 8) : 0;
  const out = kernels.reserve(count * 4);
  let bad = 0;
  for (let start = 0; start < tile.inputs.length; start += groupSize) {
    const group = tile.inputs.slice(start, start + groupSize);
    const view = kernels.view();
    group.forEach((input, index) => {
      const at = records + index * RECORD_BYTES;
      view.setUint32(at, pointers[start + index] ?? 0, true);
      view.setInt32(at + 4, DTYPE_CODE[input.dtype], true);
      view.setInt32(at + 8, VALUE_MODE[input.mode], true);
      view.setFloat64(at + 16, input.coefficient, true);
    });
    const last = start + groupSize >= tile.inputs.length;
    bad = kernels.run.mergeTile(
      records,
      group.length,
      base,
      baseCode,
      kept,
      count,
      start === 0 ? 1 : 0,
      last ? 1 : 0,
      tile.divisor,
      tile.lambda,
      tile.plusBase ? 1 : 0,
      out,
      DTYPE_CODE[tile.outDtype],
    );
  }
  return { bits: get(tile.outDtype, out, count), bad: bad !== 0 };
}

const tileArbitrary = (finite: boolean): fc.Arbitrary<ReferenceTile> =>
  fc
    .record({
      count: countArbitrary,
      n: fc.integer({ min: 1, max: 10 }),
      same: fc.boolean(),
      dtype: dtypeArbitrary,
      oneMode: fc.constantFrom('plain' as const, 'minusBase' as const),
    })
    .chain(({ count, n, same, dtype, oneMode }) => {
      const tensor = (choice: fc.Arbitrary<MergeDType>) =>
        choice.chain((one) =>
          fc.record({ dtype: fc.constant(one), bits: fc.array(bitsOf(one, finite), { minLength: count, maxLength: count, size: 'max' }) }),
        );
      const choice = same ? fc.constant(dtype) : dtypeArbitrary;
      const coefficient = fc.oneof(fc.constantFrom(1, 0.3, -1, 2, 0.25), fc.float({ min: -8, max: 8, noNaN: true }));
      return fc.record({
        inputs: fc.array(
          fc
            .tuple(
              tensor(choice),
              same ? fc.constant(oneMode) : fc.constantFrom('plain' as const, 'minusBase' as const, 'plusBase' as const),
              coefficient,
            )
            .map(([x, mode, c]) => ({ ...x, mode, coefficient: c })),
          { minLength: n, maxLength: n },
        ),
        base: tensor(choice),
        divisor: fc.constantFrom(1, 3, 0.7),
        lambda: fc.constantFrom(1, 0.4),
        plusBase: fc.boolean(),
        outDtype: dtypeArbitrary,
      });
    });

describe('mergeTile', () => {
  it('is the reference, bit for bit, for all dtypes, modes, lengths and groupings', () => {
    fc.assert(
      fc.property(tileArbitrary(false), fc.integer({ min: 1, max: 10 }), (tile, groupSize) => {
        const expected = referenceTile(tile);
        const { bits, bad } = runTile(tile, groupSize);
        expectBits(tile.outDtype, bits, expected, false);
        expect(bad).toBe(expected.some((value) => Number.isNaN(value) || !Number.isFinite(decode(tile.outDtype, value))));
      }),
      { numRuns: 600 },
    );
  });

  it('keeps the base where the merged vector is zero, -0 and subnormals included', () => {
    const bits = [0x8000, 0, 1, 0x8001, 0x3f80, 0xff7f];
    const base = { dtype: 'BF16' as const, bits };
    const inputs = [0.3, 0.7].map((coefficient) => ({ ...base, mode: 'minusBase' as const, coefficient }));
    expect(runTile({ inputs, base, divisor: 3, lambda: 0.4, plusBase: true, outDtype: 'BF16' }, 8).bits).toEqual(bits);
  });
});

describe('sums', () => {
  const pair = fc
    .tuple(dtypeArbitrary, dtypeArbitrary, countArbitrary)
    .chain(([x, y, count]) =>
      fc.tuple(
        fc.constant(x),
        fc.constant(y),
        fc.array(fc.tuple(bitsOf(x, true), bitsOf(y, true)), { minLength: count, maxLength: count, size: 'max' }),
      ),
    );
  const close = (got: number, terms: readonly number[]) => {
    const scale = terms.reduce((sum, term) => sum + Math.abs(term), 0);
    const expected = terms.reduce((sum, term) => sum + term, 0);
    expect(Math.abs(got - expected)).toBeLessThanOrEqual(1e-12 * scale);
  };

  it('dot and squaredDifference agree with fp64 sums and do not change from run to run', () => {
    fc.assert(
      fc.property(pair, ([xDtype, yDtype, elements]) => {
        kernels.reset();
        const x = put(
          xDtype,
          elements.map(([bits]) => bits),
        );
        const y = put(
          yDtype,
          elements.map(([, bits]) => bits),
        );
        const values = elements.map(([a, b]) => [decode(xDtype, a), decode(yDtype, b)] as const);
        const args = [x, DTYPE_CODE[xDtype], y, DTYPE_CODE[yDtype], elements.length] as const;
        const dot = kernels.run.dot(...args);
        close(
          dot,
          values.map(([a, b]) => a * b),
        );
        close(
          kernels.run.squaredDifference(...args),
          values.map(([a, b]) => (a - b) ** 2),
        );
        expect(kernels.run.dot(...args)).toBe(dot);
      }),
    );
  });

  it('finds the first NaN or infinity', () => {
    fc.assert(
      fc.property(
        dtypeArbitrary.chain((dtype) => fc.tuple(fc.constant(dtype), fc.array(bitsOf(dtype), { minLength: 1, maxLength: 30 }))),
        ([dtype, bits]) => {
          kernels.reset();
          const expected = bits.findIndex((value) => !Number.isFinite(decode(dtype, value)));
          expect(kernels.run.firstNonFinite(put(dtype, bits), DTYPE_CODE[dtype], bits.length)).toBe(expected);
        },
      ),
    );
  });
});
