import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileKernels, instantiateKernels } from '../../shared/kernels/kernels.js';
import { vectorsArbitrary } from '../support/block-arbitraries.js';
import { blockMemory } from '../support/block-memory.js';

const kernels = instantiateKernels(await compileKernels());

describe.each([32, 64] as const)('moments of server optimisers in f%i', (precision) => {
  const { run, round, put, get } = blockMemory(kernels, precision);
  const pairs = vectorsArbitrary(round, 9).filter((vectors) => vectors.length > 1);
  const magnitudes = (values: readonly number[]): number[] => values.map(Math.abs);

  it('secondMoment is the reference', () => {
    fc.assert(
      fc.property(pairs, fc.constantFrom(0, 0.5, 0.99, 1), fc.boolean(), ([a = [], delta = []], beta2, yogi) => {
        kernels.reset();
        const old = magnitudes(a);
        const v = put(old);
        run.secondMoment(v, put(delta), beta2, yogi ? 1 : 0, old.length);
        const expected = old.map((before, index) => {
          const square = round((delta[index] ?? 0) ** 2);
          const change = round(round(1 - beta2) * square);
          if (!yogi) return round(round(round(beta2) * before) + change);
          return before < square ? round(before + change) : before > square ? round(before - change) : before;
        });
        expect(get(v, old.length)).toEqual(expected);
      }),
    );
  });

  it('adaptive is the reference, and zero where the first moment is', () => {
    fc.assert(
      fc.property(pairs, fc.constantFrom(0, 1e-3, 0.5), ([m = [], a = []], tau) => {
        kernels.reset();
        const v = magnitudes(a);
        const out = put(m.map(() => Number.NaN));
        run.adaptive(put(m), put(v), tau, out, m.length);
        const step = (moment: number, index: number): number =>
          moment === 0 ? 0 : round(moment / round(round(Math.sqrt(v[index] ?? 0)) + round(tau)));
        expect(get(out, m.length)).toEqual(m.map(step));
      }),
    );
  });
});
