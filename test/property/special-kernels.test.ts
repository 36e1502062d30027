import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileKernels, DTYPE_CODE, instantiateKernels } from '../../shared/kernels/kernels.js';
import { blockMemory } from '../support/block-memory.js';
import { decode, encode } from '../support/scalar-reference.js';

const kernels = instantiateKernels(await compileKernels());
const number = fc.oneof(fc.constantFrom(0, -0, 1, -1), fc.double({ min: -8, max: 8, noNaN: true }));
const two = fc
  .integer({ min: 1, max: 41 })
  .chain((count) => fc.tuple(...[0, 1].map(() => fc.array(number, { minLength: count, maxLength: count }))));

describe.each([32, 64] as const)('primitives of rows and columns in f%i', (precision) => {
  const { run, round, put, putDoubles, get, reserve } = blockMemory(kernels, precision);
  const rounded = two.map(([a = [], b = []]) => [a.map(round), b.map(round)] as const);
  const doubles = (pointer: number, count: number): number[] =>
    Array.from({ length: count }, (_, index) => kernels.view().getFloat64(pointer + index * 8, true));

  it('columnProducts adds up, and touches its columns only', () => {
    fc.assert(
      fc.property(rounded, ([a, b]) => {
        kernels.reset();
        const n = a.length;
        const sums = putDoubles([...Array<number>(3 * n).fill(0.5), 7]);
        run.columnProducts(put(a), put(b), n, sums);
        const expected = [a.map((x) => x * x), a.map((x, i) => x * (b[i] ?? 0)), b.map((y) => y * y)].flat().map((one) => 0.5 + one);
        expect(doubles(sums, 3 * n + 1)).toEqual([...expected, 7]);
      }),
    );
  });

  it('mixColumns takes a coefficient for each column', () => {
    fc.assert(
      fc.property(rounded, rounded, ([a, b], [c, d]) => {
        const n = Math.min(a.length, c.length);
        kernels.reset();
        const out = put(Array<number>(n + 1).fill(9));
        run.mixColumns(put(a), put(b), put(c), put(d), out, n);
        const at = (list: readonly number[], index: number): number => list[index] ?? 0;
        const expected = Array.from({ length: n }, (_, i) => round(round(at(c, i) * at(a, i)) + round(at(d, i) * at(b, i))));
        expect(get(out, n + 1)).toEqual([...expected, 9]);
      }),
    );
  });

  it('softmaxDivergence is the divergence, and zero for rows without a change', () => {
    fc.assert(
      fc.property(rounded, ([base, v]) => {
        kernels.reset();
        const softmax = (row: readonly number[]): number[] => {
          const top = Math.max(...row);
          const all = row.map((x) => Math.exp(x - top));
          const sum = all.reduce((total, one) => total + one, 0);
          return all.map((one) => one / sum);
        };
        const q = softmax(base);
        const p = softmax(base.map((y, i) => y + (v[i] ?? 0)));
        const expected = p.reduce((total, one, i) => total + one * Math.log(one / (q[i] ?? 1)), 0);
        expect(Math.abs(run.softmaxDivergence(put(v), put(base), base.length) - expected)).toBeLessThan(1e-13);
        expect(run.softmaxDivergence(put(base.map(() => 0)), put(base), base.length)).toBe(0);
      }),
    );
    const steep = [0, -2000, 3, -746];
    expect(run.softmaxDivergence(put([0, 1, 0, 0]), put(steep), 4)).toBe(0);
  });

  it('weighedMagnitudes', () => {
    fc.assert(
      fc.property(rounded, number, ([a], factor) => {
        kernels.reset();
        const out = reserve((a.length + 8) * (precision / 8));
        run.weighedMagnitudes(put(a), factor, out, a.length);
        expect(get(out, a.length)).toEqual(a.map((x) => round(round(factor) * Math.abs(x))));
      }),
    );
  });
});

describe('nearswap, step by step', () => {
  const { run, put, get } = blockMemory(kernels, 32);

  it.each(['F32', 'F16', 'BF16'] as const)('rounds every result to %s', (dtype) => {
    const D = (value: number): number => decode(dtype, encode(dtype, Math.fround(value)));
    fc.assert(
      fc.property(two, fc.constantFrom(0, 1e-4, 0.01, 2), ([a = [], b = []], t) => {
        kernels.reset();
        const [from, to] = [a.map(D), b.map(D)];
        const out = put(a);
        run.nearswapStepwise32(put(from), put(to), out, a.length, t, DTYPE_CODE[dtype]);
        const expected = from.map((x, index) => {
          const y = to[index] ?? 0;
          const apart = Math.max(Math.abs(D(x - y)), D(1e-6));
          const reached = D(D(1 / apart) * Math.fround(t));
          const q = Number.isNaN(reached) ? 0 : Math.min(1, reached);
          return D(D(q * y) + D(D(1 - q) * x));
        });
        expect(get(out, a.length)).toEqual(expected);
      }),
    );
  });
});
