import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileKernels, instantiateKernels } from '../../shared/kernels/kernels.js';
import { countArbitrary, valueArbitrary, vectorArbitrary } from '../support/block-arbitraries.js';
import { blockMemory } from '../support/block-memory.js';
import { philox, ranks, wordOf } from '../support/block-reference.js';
import { f32Bits } from '../support/scalar-reference.js';

const kernels = instantiateKernels(await compileKernels());
const keyArbitrary = fc.integer({ min: 0, max: 0xffffffff });

describe.each([32, 64] as const)('random masks in f%i', (precision) => {
  const memory = blockMemory(kernels, precision);
  const { run, round, put, get, reserve } = memory;

  it('drop and dellaMask follow the Philox words of the indices', () => {
    fc.assert(
      fc.property(
        vectorArbitrary(round, fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(515, 1024))),
        fc.record({ keyLo: keyArbitrary, keyHi: keyArbitrary, divide: fc.boolean(), columns: fc.constantFrom(1, 7, 64) }),
        fc.oneof(
          fc.constantFrom(0, 2 ** 34 - 24, 2 ** 34 - 8, 2 ** 40),
          fc.nat().map((index) => index * 8),
        ),
        fc.oneof(fc.constantFrom(0, 2 ** 32, 2 ** 31 + 0.5, 1), fc.double({ min: 0, max: 2 ** 32, noNaN: true })),
        (a, { keyLo, keyHi, divide, columns }, start, threshold) => {
          kernels.reset();
          const words = a.map((_, index) => wordOf(start + index, keyLo, keyHi));
          const at = put(a);
          run.drop(at, a.length, start, keyLo, keyHi, threshold);
          expect(get(at, a.length)).toEqual(a.map((value, index) => ((words[index] ?? 0) >= threshold ? 0 : value)));
          const made = reserve(a.length * 4);
          run.randomWords(made, a.length, start, keyLo, keyHi);
          expect(memory.getWords(made, a.length)).toEqual(words);

          const rankOf = (index: number) => (index * 5) % columns;
          const [low, step] = columns === 1 ? [0.4, Number.POSITIVE_INFINITY] : [0.3, 0.4 / (columns - 1)];
          const della = put(a);
          const rankWords = memory.putWords(a.map((_, index) => rankOf(index)));
          run.dellaMask(della, rankWords, a.length, columns, low, step, start, keyLo, keyHi, divide ? 1 : 0);
          const expected = a.map((value, index) => {
            const probability = columns === 1 ? low : low + step * rankOf(index);
            if ((words[index] ?? 0) * 2 ** -32 >= probability) return 0;
            return divide ? round(value / round(probability)) : value;
          });
          expect(get(della, a.length)).toEqual(expected);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('random words and ranks', () => {
  const memory = blockMemory(kernels, 32);

  it('Philox4x32-10 gives the published words', () => {
    const all = 0xffffffff;
    expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    expect(philox([all, all, all, all], [all, all])).toEqual([0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    kernels.reset();
    const words = memory.reserve(16);
    kernels.run.randomWords(words, 4, 0, 0, 0);
    expect(memory.getWords(words, 4)).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  });

  it('ranks are stable, for short and long rows and any spread of keys', () => {
    const anyKey = fc.oneof(
      keyArbitrary,
      fc.integer({ min: 0, max: 9 }),
      valueArbitrary.map((value) => f32Bits(Math.abs(value))),
    );
    fc.assert(
      fc.property(countArbitrary, fc.array(anyKey, { minLength: 1, maxLength: 60 }), fc.nat({ max: 24 }), (count, some, shift) => {
        kernels.reset();
        const keys = Array.from({ length: count }, (_, index) => {
          const key = some[(Math.imul(index, 0x9e3779b1) >>> 9) % some.length] ?? 0;
          return shift % 3 === 0 ? key : ((key ^ (index * 37)) << shift) >>> 0;
        });
        const to = memory.reserve(count * 4);
        kernels.run.ranks(memory.putWords(keys), count, memory.reserve(count * 16), to);
        expect(memory.getWords(to, count)).toEqual(ranks(keys));
      }),
    );
  });
});
