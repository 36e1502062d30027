import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dellaScratchBytes } from '../../shared/kernels/block-functions.js';
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

  it('drop and dellaMask follow the random words of the indices', () => {
    fc.assert(
      fc.property(
        vectorArbitrary(round, fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(515, 1024))),
        fc.record({ keyLo: keyArbitrary, keyHi: keyArbitrary, divide: fc.boolean(), columns: fc.constantFrom(1, 7, 64) }),
        fc.oneof(fc.constantFrom(0, 2 ** 32 - 24, 2 ** 36 - 5, 2 ** 36 - 16, 2 ** 40), fc.nat()),
        fc.oneof(
          fc.constantFrom(0, 2 ** 32, 2 ** 32 - 0.5, 2 ** 31, 2 ** 31 + 0.5, 1),
          fc.nat({ max: 2 ** 40 }).map((n) => n / 256),
        ),
        (a, { keyLo, keyHi, divide, columns }, start, threshold) => {
          kernels.reset();
          const words = a.map((_, index) => wordOf(start + index, keyLo, keyHi));
          const own = words[words.length >> 1] ?? 0;
          for (const border of [threshold, own, own + 1]) {
            const at = put(a);
            run.drop(at, a.length, start, keyLo, keyHi, border);
            expect(get(at, a.length)).toEqual(a.map((value, index) => ((words[index] ?? 0) >= border ? 0 : value)));
          }
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
    const words = memory.reserve(64);
    kernels.run.randomWords(words, 16, 0, 0, 0);
    const leads = memory.getWords(words, 16).map((word) => word >>> 24);
    expect(leads).toEqual([0xd5, 0xe8, 0x27, 0x66, 0x8d, 0xc5, 0x69, 0xe1, 0x4c, 0xac, 0x57, 0xbc, 0xd8, 0xdb, 0x00, 0x9b]);
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

describe('masks by rank', () => {
  const memory = blockMemory(kernels, 32);
  const smooth = (index: number): number => f32Bits(Math.abs(Math.sin((index + 1) * 12.9898) * 43.758) ** 3);
  const kinds: Record<string, (index: number) => number> = {
    smooth,
    zero: () => 0,
    equal: () => 0x3f800000,
    'half zero': (index) => (index % 7 < 4 ? 0 : smooth(index)),
    coarse: (index) => f32Bits(Math.round((smooth(index) % 1000) / 110) / 1024),
    bf16: (index) => (smooth(index) & 0x7fff0000) >>> 0,
    'two in a bin': (index) => 0x3f800000 + ((index * 7) % 3 === 0 ? 1 : 0),
    'many in a bin': (index) => 0x3f800000 + (Math.imul(index, 40503) & 255),
    'below the span': (index) => (index % 50 === 0 ? 0x7f000000 : smooth(index)),
    ascending: (index) => index,
    tiny: (index) => index % 3,
  };

  function check(
    kind: string,
    rows: number,
    columns: number,
    [low, step]: readonly [number, number],
    start: number,
    keyLo: number,
    keyHi: number,
  ) {
    const count = rows * columns;
    kernels.reset();
    const keys = Array.from({ length: count }, (_, index) => (kinds[kind] ?? smooth)(index + (start % 1000)));
    const keysAt = memory.putWords(keys);
    const words = memory.reserve(count * 4);
    kernels.run.randomWords(words, count, start, keyLo, keyHi);
    const drawn = memory.getWords(words, count);
    const bits = memory.reserve(Math.ceil(count / 8) + 8);
    kernels.run.dellaBits(keysAt, rows, columns, low, step, start, keyLo, keyHi, memory.reserve(dellaScratchBytes(rows, columns)), bits);
    const expected = Array<number>(Math.ceil(count / 8) * 8).fill(0);
    for (let row = 0; row < rows; row++) {
      const own = ranks(keys.slice(row * columns, (row + 1) * columns));
      own.forEach((rank, column) => {
        const probability = low + step * rank;
        if ((drawn[row * columns + column] ?? 0) * 2 ** -32 < probability) expected[row * columns + column] = 1;
      });
    }
    // Compared as text: far quicker than element by element.
    expect(memory.getBits(bits, count).join('')).toBe(expected.join(''));
  }

  const shape = fc.oneof(
    fc.record({ columns: fc.integer({ min: 1, max: 9 }), rows: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ columns: fc.integer({ min: 10, max: 200 }), rows: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ columns: fc.constantFrom(384, 385, 1000, 1024, 2049, 4096, 5001), rows: fc.integer({ min: 1, max: 3 }) }),
  );
  const probability = fc.nat({ max: 2 ** 40 }).map((n) => n / 2 ** 40);
  const probabilities = fc.record({ low: probability, span: fc.oneof(fc.constant(0), fc.constant(1), probability) });

  it.each(Object.keys(kinds))('are those of exact ranks: %s', (kind) => {
    fc.assert(
      fc.property(
        shape,
        probabilities,
        fc.oneof(fc.constant(0), fc.nat(), fc.constant(2 ** 36 - 77)),
        keyArbitrary,
        keyArbitrary,
        ({ rows, columns }, { low, span }, start, keyLo, keyHi) => {
          check(kind, rows, columns, [low, columns === 1 ? 0 : Math.min(span, 1 - low) / (columns - 1)], start, keyLo, keyHi);
        },
      ),
      { numRuns: 40 },
    );
  });

  it.each(['smooth', 'half zero', 'coarse', 'equal', 'many in a bin'])('of long rows: %s', (kind) => {
    for (const columns of [14_336, 65_535, 65_536, 100_003]) check(kind, 1, columns, [0.4, 0.2 / (columns - 1)], 16 * columns, 5, 6);
  });

  it('keep the elements of a probability that no byte decides as often as it says', () => {
    const count = 1 << 16;
    const low = 0.5 + 2 ** -10;
    kernels.reset();
    const bits = memory.reserve(count / 8);
    kernels.run.dellaBits(
      memory.putWords(Array<number>(count).fill(0)),
      count / 64,
      64,
      low,
      0,
      0,
      1,
      2,
      memory.reserve(dellaScratchBytes(count / 64, 64)),
      bits,
    );
    const found = memory.getBits(bits, count).reduce((sum, bit) => sum + bit, 0);
    expect(Math.abs(found - count * low)).toBeLessThan(5 * Math.sqrt(count / 4));
  });
});
