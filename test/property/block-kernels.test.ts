import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HIGH_TABLE_ENTRIES, LOW_TABLE_ENTRIES, NO_LOWER_BOUND, NO_UPPER_BOUND } from '../../shared/kernels/block-functions.js';
import { compileKernels, DTYPE_CODE, instantiateKernels } from '../../shared/kernels/kernels.js';
import { valueArbitrary, vectorArbitrary } from '../support/block-arbitraries.js';
import { blockMemory } from '../support/block-memory.js';
import { keepBand, keyOf, sumInLanes } from '../support/block-reference.js';
import { decode, encode } from '../support/scalar-reference.js';

const kernels = instantiateKernels(await compileKernels());
const DTYPES = ['F32', 'F16', 'BF16'] as const;
const dtypeArbitrary = fc.constantFrom(...DTYPES);
const keyArbitrary = fc.integer({ min: 0, max: 0xffffffff });
const zeros = (count: number) => Array.from({ length: (8 - (count % 8)) % 8 }, () => 0);

/** The bits of any tensor, infinities and NaN included. */
const tensorArbitrary = fc
  .tuple(dtypeArbitrary, vectorArbitrary(Math.fround), fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 9 }))
  .map(([dtype, values, raw]) => ({
    dtype,
    bits: values.map((value, index) => raw[index] ?? encode(dtype, value)),
  }));

describe.each([32, 64] as const)('block primitives in f%i', (precision) => {
  const memory = blockMemory(kernels, precision);
  const { run, round, put, get, reserve } = memory;
  const wide = precision / 8;

  function putTensor(dtype: (typeof DTYPES)[number], bits: readonly number[]): number {
    const pointer = reserve(bits.length * 4);
    const view = kernels.view();
    bits.forEach((value, index) =>
      dtype === 'F32' ? view.setUint32(pointer + index * 4, value, true) : view.setUint16(pointer + index * 2, value, true),
    );
    return pointer;
  }

  it('load, loadDelta and loadSum are the reference and leave zeros behind', () => {
    fc.assert(
      fc.property(tensorArbitrary, valueArbitrary, ({ dtype, bits }, shift) => {
        kernels.reset();
        const from = putTensor(dtype, bits);
        const values = bits.map((value) => decode(dtype, value));
        const base = values.map((value) => round(Number.isFinite(value) ? value * 0.75 + shift : 1));
        const to = reserve(bits.length * wide);
        const end = bits.length + zeros(bits.length).length;
        run.load(from, DTYPE_CODE[dtype], to, bits.length);
        expect(get(to, end)).toEqual([...values, ...zeros(bits.length)]);
        run.loadDelta(from, DTYPE_CODE[dtype], put(base), to, bits.length);
        expect(get(to, end)).toEqual([...values.map((value, i) => round(value - (base[i] ?? 0))), ...zeros(bits.length)]);
        run.loadSum(from, DTYPE_CODE[dtype], put(base), to, bits.length);
        expect(get(to, end)).toEqual([...values.map((value, i) => round(value + (base[i] ?? 0))), ...zeros(bits.length)]);
      }),
    );
  });

  it('round goes to the nearest value of a dtype, and does nothing in f64', () => {
    fc.assert(
      fc.property(vectorArbitrary(round), fc.array(keyArbitrary, { maxLength: 9 }), dtypeArbitrary, (values, raw, dtype) => {
        kernels.reset();
        const mixed = values.map((value, index) => (index < raw.length ? decode('F32', raw[index] ?? 0) : value));
        const a = put(mixed);
        run.round(a, DTYPE_CODE[dtype], mixed.length);
        const expected = mixed.map((value) => (Number.isNaN(value) ? value : decode(dtype, encode(dtype, value))));
        expect(get(a, mixed.length)).toEqual(precision === 32 ? expected : mixed);
      }),
    );
  });

  it('finish writes base + lambda v rounded as told, and tells NaN and infinity', () => {
    fc.assert(
      fc.property(
        vectorArbitrary(round),
        fc.array(valueArbitrary, { minLength: 1, maxLength: 20 }),
        fc.record({ dtype: dtypeArbitrary, rounding: dtypeArbitrary, plusBase: fc.boolean(), lambda: fc.constantFrom(1, 0.3, -2, 1e30) }),
        (v, bases, { dtype, rounding, plusBase, lambda }) => {
          kernels.reset();
          const base = v.map((_, index) => round(bases[index % bases.length] ?? 0));
          const out = reserve(v.length * 4);
          const to = (value: number) => (precision === 32 ? decode(rounding, encode(rounding, value)) : value);
          const expected = v.map((value, index) => {
            const product = to(lambda === 1 ? value : round(round(lambda) * value));
            if (!plusBase) return encode(dtype, Math.fround(product));
            const own = base[index] ?? 0;
            return encode(dtype, Math.fround(product === 0 ? own : to(round(own + product))));
          });
          // What stands behind the last element is no result.
          const vAt = put([...v, Number.NaN]);
          const code = DTYPE_CODE[dtype];
          const bad = run.finish(vAt, put(base), plusBase ? 1 : 0, lambda, DTYPE_CODE[rounding], out, code, v.length);
          const view = kernels.view();
          expected.forEach((bits, index) => {
            const got = dtype === 'F32' ? view.getUint32(out + index * 4, true) : view.getUint16(out + index * 2, true);
            if (!Number.isNaN(decode(dtype, bits)) && got !== bits) throw new Error(`element ${index}: ${got} for ${bits}`);
          });
          expect(bad).toBe(expected.some((bits) => !Number.isFinite(decode(dtype, bits))) ? 1 : 0);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('arithmetic rounds once an operation', () => {
    fc.assert(
      fc.property(vectorArbitrary(round), valueArbitrary, valueArbitrary, (a, c, shift) => {
        kernels.reset();
        const b = a.map((value, index) => round(index % 3 === 0 ? shift : value * 0.7 - shift));
        const after = (change: (at: number, other: number) => void) => {
          const at = put(a);
          change(at, put(b));
          return get(at, a.length);
        };
        const count = a.length;
        const expected = (op: (x: number, y: number) => number) => a.map((x, index) => round(op(x, b[index] ?? 0)));
        expect(after((at) => run.scale(at, c, count))).toEqual(expected((x) => round(c) * x));
        expect(after((at, other) => run.add(at, other, count))).toEqual(expected((x, y) => x + y));
        expect(after((at, other) => run.subtract(at, other, count))).toEqual(expected((x, y) => x - y));
        expect(after((at, other) => run.addScaled(at, other, c, count))).toEqual(expected((x, y) => x + round(round(c) * y)));
        expect(after((at) => run.clear(at, count * wide))).toEqual(a.map(() => 0));
      }),
    );
  });

  it('sums are taken in fp64 in a fixed order', () => {
    fc.assert(
      fc.property(vectorArbitrary(round), valueArbitrary, (a, factor) => {
        kernels.reset();
        const b = a.map((value, index) => round(index % 5 === 0 ? value : factor));
        const at = put(a);
        expect(run.sumAbs(at, a.length)).toBe(sumInLanes(a.map(Math.abs)));
        expect(run.sumSquares(at, a.length)).toBe(sumInLanes(a.map((value) => value * value)));
        expect(run.dot(at, put(b), a.length)).toBe(sumInLanes(a.map((value, index) => value * (b[index] ?? 0))));
        expect(run.countNonZero(at, a.length)).toBe(a.filter((value) => value !== 0).length);
        expect(run.maxAbs(at, a.length)).toBe(a.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
      }),
    );
  });

  it('keys and their histograms count every element once', () => {
    fc.assert(
      fc.property(vectorArbitrary(round), fc.nat(), (a, pick) => {
        kernels.reset();
        const at = put(a);
        const keys = a.map(keyOf);
        const chosen = keys[pick % keys.length] ?? 0;
        const words = reserve(a.length * 4);
        run.keysOf(at, a.length, words);
        expect(memory.getWords(words, a.length)).toEqual(keys);
        expect(run.countKey(at, a.length, chosen)).toBe(keys.filter((key) => key === chosen).length);
        const table = reserve(LOW_TABLE_ENTRIES * 4);
        const entries = (count: number) => new Map(memory.getWords(table, count).flatMap((n, index) => (n === 0 ? [] : [[index, n]])));
        const counted = (indices: number[]) => {
          const found = new Map<number, number>();
          for (const index of indices) found.set(index, (found.get(index) ?? 0) + 1);
          return found;
        };
        run.clear(table, HIGH_TABLE_ENTRIES * 4);
        run.histogramHigh(at, a.length, table);
        expect(entries(HIGH_TABLE_ENTRIES)).toEqual(counted(keys.map((key) => key >>> 16)));
        run.clear(table, LOW_TABLE_ENTRIES * 4);
        run.histogramLow(at, a.length, chosen >>> 16, table);
        const same = keys.filter((key) => key >>> 16 === chosen >>> 16);
        expect(entries(LOW_TABLE_ENTRIES)).toEqual(counted(same.map((key) => key & 0xffff)));
      }),
      { numRuns: 60 },
    );
  });

  it('keepBand keeps the band, ties by running number over several blocks', () => {
    const number = fc.integer({ min: 0, max: 30 });
    const bound = fc.oneof(number, fc.integer({ min: 0, max: 4000 }));
    fc.assert(
      fc.property(
        vectorArbitrary(round),
        fc.tuple(fc.option(fc.nat()), fc.option(fc.nat()), bound, bound, bound, fc.boolean(), number),
        (a, [lowPick, highPick, lowFrom, lowTo, highTo, same, groups]) => {
          kernels.reset();
          const keys = a.map(keyOf);
          const low = lowPick === null ? NO_LOWER_BOUND : (keys[lowPick % keys.length] ?? 0);
          const high = same ? low : highPick === null ? NO_UPPER_BOUND : (keys[highPick % keys.length] ?? 0);
          const band = { low, lowFrom, lowTo, high, highTo };
          const at = put(a);
          const state = memory.putWords([0, 0]);
          const first = Math.min(groups * 8, a.length);
          run.keepBand(at, first, low, lowFrom, lowTo, high, highTo, state);
          run.keepBand(at + first * wide, a.length - first, low, lowFrom, lowTo, high, highTo, state);
          expect(get(at, a.length)).toEqual(keepBand(a, band));
          expect(memory.getWords(state, 2)).toEqual([low, high].map((key) => keys.filter((one) => one === key).length));
        },
      ),
      { numRuns: 400 },
    );
  });

  it('masks are one bit an element', () => {
    fc.assert(
      fc.property(vectorArbitrary(round), valueArbitrary, (a, fill) => {
        kernels.reset();
        const bits = reserve(a.length);
        run.maskOf(put(a), a.length, bits);
        expect(memory.getBits(bits, a.length)).toEqual([...a.map((value) => (value === 0 ? 0 : 1)), ...zeros(a.length)]);
        const other = put(a.map(() => round(fill)));
        run.applyMask(other, a.length, bits);
        expect(get(other, a.length)).toEqual(a.map((value) => (value === 0 ? 0 : round(fill))));
      }),
    );
  });
});
