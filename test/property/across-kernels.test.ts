import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CONSENSUS } from '../../shared/kernels/block-functions.js';
import { compileKernels, DTYPE_CODE, instantiateKernels } from '../../shared/kernels/kernels.js';
import { vectorsArbitrary } from '../support/block-arbitraries.js';
import { blockMemory } from '../support/block-memory.js';
import { agreement, consensus, isBeyond, nearswap, sumOf, unify, variance } from '../support/block-reference.js';
import { decode, encode } from '../support/scalar-reference.js';

const kernels = instantiateKernels(await compileKernels());
const weightArbitrary = fc.array(fc.oneof(fc.constantFrom(1, 0, -0.5, 0.25, 0.3), fc.double({ min: -2, max: 2, noNaN: true })), {
  minLength: 13,
  maxLength: 13,
});

describe.each([32, 64] as const)('primitives across vectors in f%i', (precision) => {
  const memory = blockMemory(kernels, precision);
  const { run, round, put, get } = memory;
  const anyVectors = vectorsArbitrary(round);

  /** Puts the vectors, runs, and compares what stands at `out` with the reference applied to each element's values. */
  function hold(
    vectors: readonly number[][],
    operate: (ptrs: number, out: number, count: number) => void,
    reference: (values: number[], index: number) => number,
    out?: (count: number) => number,
  ): void {
    kernels.reset();
    const count = vectors[0]?.length ?? 0;
    const ptrs = memory.putWords(vectors.map(put));
    const at = out?.(count) ?? put(Array.from({ length: count }, () => Number.NaN));
    operate(ptrs, at, count);
    const expected = Array.from({ length: count }, (_, index) =>
      reference(
        vectors.map((vector) => vector[index] ?? 0),
        index,
      ),
    );
    expect(get(at, count)).toEqual(expected);
  }

  it('weightedSum goes in index order', () => {
    fc.assert(
      fc.property(anyVectors, weightArbitrary, (vectors, weights) => {
        hold(
          vectors,
          (ptrs, out, count) => run.weightedSum(ptrs, memory.putDoubles(weights), vectors.length, out, count),
          (values) =>
            sumOf(
              values.map((value, index) => round(round(weights[index] ?? 0) * value)),
              round,
            ),
        );
      }),
    );
  });

  it('consensus is the reference for every flag and rounding', () => {
    const options = fc.record({
      electUnweighted: fc.boolean(),
      zeroByMajority: fc.boolean(),
      count: fc.boolean(),
      normalize: fc.boolean(),
      maximum: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
      epsilon: fc.constantFrom(0, 1e-6, 0.3),
      majority: fc.constantFrom(1, -1),
    });
    const rounding = fc.constantFrom('F32' as const, 'F16' as const, 'BF16' as const);
    const equal = fc.array(fc.constantFrom(1, 0.5), { minLength: 13, maxLength: 13 });
    fc.assert(
      fc.property(anyVectors, fc.oneof(weightArbitrary, equal), options, rounding, (vectors, weights, chosen, dtype) => {
        const flags =
          (chosen.electUnweighted ? CONSENSUS.electUnweighted : 0) +
          (chosen.zeroByMajority ? CONSENSUS.zeroByMajority : 0) +
          (chosen.count ? CONSENSUS.count : 0) +
          (chosen.normalize ? CONSENSUS.normalize : 0) +
          (chosen.maximum ? CONSENSUS.maximum : 0);
        const n = vectors.length;
        const toDtype = (value: number) => (precision === 64 || Number.isNaN(value) ? value : decode(dtype, encode(dtype, value)));
        hold(
          vectors,
          (ptrs, out, count) => {
            const at = memory.putDoubles(weights);
            run.consensus(ptrs, at, n, out, count, flags, DTYPE_CODE[dtype], chosen.epsilon, chosen.majority);
          },
          (values) => consensus(values, weights, chosen, round, toDtype),
        );
      }),
      { numRuns: 600 },
    );
  });

  it('agreement and variance are the references', () => {
    fc.assert(
      fc.property(anyVectors, fc.constantFrom(0, 0.2, 0.6, 0.8, 1), fc.boolean(), (vectors, rho, mean) => {
        const n = vectors.length;
        hold(
          vectors,
          (ptrs, out, count) => run.agreement(ptrs, n, out, count, rho, mean ? 1 : 0),
          (values) => agreement(values, rho, mean, round),
        );
        hold(
          vectors,
          (ptrs, out, count) => run.variance(ptrs, n, out, count),
          (values) => variance(values, round),
        );
      }),
    );
  });

  it('sortAcross sorts every element and loses none, for 1 to 40 vectors', () => {
    fc.assert(
      fc.property(vectorsArbitrary(round, 40), (vectors) => {
        kernels.reset();
        const count = vectors[0]?.length ?? 0;
        const pointers = vectors.map(put);
        run.sortAcross(memory.putWords(pointers), vectors.length, count);
        const sorted = pointers.map((pointer) => get(pointer, count));
        for (let index = 0; index < count; index++) {
          const got = sorted.map((vector) => vector[index] ?? Number.NaN);
          const expected = vectors.map((vector) => vector[index] ?? 0).sort((a, b) => a - b);
          if (got.some((value, rank) => value !== expected[rank]))
            throw new Error(`element ${index}: ${got.join()} for ${expected.join()}`);
          const negativeZeros = (values: readonly number[]) => values.filter((value) => Object.is(value, -0)).length;
          if (negativeZeros(got) !== negativeZeros(expected)) throw new Error(`element ${index} lost a zero's sign`);
        }
      }),
    );
  });

  it('consensusMask, maskBeyond, unify and agreeMask are the references', () => {
    fc.assert(
      fc.property(anyVectors, fc.constantFrom(0, 0.2, 0.4, 1), fc.integer({ min: 1, max: 4 }), (vectors, lambda, k) => {
        const merged = (vectors[0] ?? []).map((_, index) =>
          round(vectors.reduce((total, vector) => total + (vector[index] ?? 0), 0) * 0.5),
        );
        hold(
          vectors,
          (ptrs, out, count) => run.consensusMask(ptrs, out, vectors.length, count, lambda, k),
          (values, index) =>
            values.filter((value) => isBeyond(value, merged[index] ?? 0, lambda, round)).length >= k ? (merged[index] ?? 0) : 0,
          () => put(merged),
        );
        hold(
          vectors,
          (ptrs, out, count) => run.unify(ptrs, vectors.length, out, count),
          (values) => unify(values, round),
        );
        const [first = []] = vectors;
        const bits = memory.reserve(first.length);
        run.maskBeyond(put(first), put(merged), first.length, lambda, bits);
        const padding = Array.from({ length: (8 - (first.length % 8)) % 8 }, () => 0);
        const beyond = first.map((value, index) => (isBeyond(value, merged[index] ?? 0, lambda, round) ? 1 : 0));
        expect(memory.getBits(bits, first.length)).toEqual([...beyond, ...padding]);
        run.agreeMask(put(first), put(merged), first.length, bits);
        const agreeing = first.map((value, index) => (Math.sign(value) * Math.sign(merged[index] ?? 0) > 0 ? 1 : 0));
        expect(memory.getBits(bits, first.length)).toEqual([...agreeing, ...padding]);
      }),
    );
  });

  it('nearswap is the reference', () => {
    fc.assert(
      fc.property(
        anyVectors.filter((vectors) => vectors.length > 1),
        fc.constantFrom(0, 1e-7, 0.1, 0.5, 3),
        (vectors, t) => {
          const [a = [], b = []] = vectors;
          hold(
            [a, b],
            (_, out, count) => run.nearswap(put(a), put(b), out, count, t),
            (values) => nearswap(values[0] ?? 0, values[1] ?? 0, t, round),
          );
        },
      ),
    );
  });
});
