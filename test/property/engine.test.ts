import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { MergeDType } from '../../shared/formats/tensor.js';
import { startPool } from '../../shared/workers/pool.js';
import { expectError } from '../support/expect-error.js';
import { type Case, type Model, mergeCase } from '../support/merge-fixture.js';
import { decode, referenceTile } from '../support/scalar-reference.js';
import { tempDir } from '../support/temp-dir.js';
import '../support/tell-in-time.js';

const root = tempDir();
const pools = [1, 2, 3, 8].map((threads) => startPool(threads));
const [single = startPool(1)] = pools;
afterAll(() => Promise.all(pools.map((pool) => pool.close())));

/** Finite and small enough that no sum overflows, but with zeros of both signs, subnormals and wide gaps between exponents. */
const bitsOf = (dtype: MergeDType): fc.Arbitrary<number> => {
  const range = { F32: 0x7dffffff, BF16: 0x7dff, F16: 0x67ff }[dtype];
  const sign = dtype === 'F32' ? 0x80000000 : 0x8000;
  return fc.oneof(
    fc.constantFrom(0, sign, 1, sign + 1),
    fc.tuple(fc.boolean(), fc.integer({ min: 0, max: range })).map(([negative, magnitude]) => (negative ? magnitude + sign : magnitude)),
  );
};
const dtypeArbitrary = fc.constantFrom('F32' as const, 'F16' as const, 'BF16' as const);
const tensorArbitrary = (count: number, dtype: fc.Arbitrary<MergeDType> = dtypeArbitrary) =>
  dtype.chain((one) =>
    fc.record({ dtype: fc.constant(one), bits: fc.array(bitsOf(one), { minLength: count, maxLength: count, size: 'max' }) }),
  );

describe('identities', () => {
  it.each([
    ['linear', 'merge_method: linear\nparameters: {weight: 0.37}'],
    ['task arithmetic', 'merge_method: task_arithmetic'],
    ['fedavg', 'merge_method: fedavg'],
    ['weight 2, lambda 0.5', 'merge_method: task_arithmetic\nparameters: {weight: 2, lambda: 0.5}'],
  ])('one model of weight 1 comes back bit for bit: %s', async (_name, recipe) => {
    await fc.assert(
      fc.asyncProperty(
        dtypeArbitrary.chain((dtype) => fc.tuple(tensorArbitrary(23, fc.constant(dtype)), tensorArbitrary(23, fc.constant(dtype)))),
        async ([base, x]) => {
          const merged = await mergeCase(root, single, { recipe, base: { t: base }, contributions: [{ model: { t: x }, samples: 7 }] });
          expect(merged.bits('t')).toEqual(x.bits);
        },
      ),
      { numRuns: 12 },
    );
  });

  it.each([
    ['linear', 'merge_method: linear'],
    ['fedavg', 'merge_method: fedavg'],
    ['normalised task arithmetic', 'merge_method: task_arithmetic\nparameters: {normalize: true}'],
  ])('copies of one model come back bit for bit: %s', async (_name, recipe) => {
    await fc.assert(
      fc.asyncProperty(
        dtypeArbitrary.chain((dtype) => fc.tuple(tensorArbitrary(23, fc.constant(dtype)), tensorArbitrary(23, fc.constant(dtype)))),
        fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 2, maxLength: 10 }),
        async ([base, x], samples) => {
          const merged = await mergeCase(root, single, {
            recipe,
            base: { t: base },
            contributions: samples.map((n) => ({ model: { t: x }, samples: n })),
          });
          expect(merged.bits('t')).toEqual(x.bits);
        },
      ),
      { numRuns: 15 },
    );
  });

  it('contributions equal to the base leave the base, bit for bit', async () => {
    await fc.assert(
      fc.asyncProperty(tensorArbitrary(40), async (base) => {
        const merged = await mergeCase(root, single, {
          recipe: 'merge_method: task_arithmetic\nparameters: {lambda: 0.7}',
          base: { t: base },
          contributions: [{ model: { t: base } }, { model: { t: base } }],
        });
        expect(merged.bits('t')).toEqual(base.bits);
      }),
      { numRuns: 10 },
    );
  });

  it('two contributions in either order give the same bytes, and weights times a power of two the same mean', async () => {
    await fc.assert(
      fc.asyncProperty(tensorArbitrary(30), tensorArbitrary(30), async (x, y) => {
        const linear = (a: typeof x, b: typeof x, weight: number): Case => ({
          recipe: `merge_method: linear\nout_dtype: bfloat16\nparameters: {weight: ${weight}}`,
          contributions: [{ model: { t: a } }, { model: { t: b } }],
        });
        const merged = await mergeCase(root, single, linear(x, y, 1));
        expect((await mergeCase(root, single, linear(y, x, 1))).bits('t')).toEqual(merged.bits('t'));
        expect((await mergeCase(root, single, linear(x, y, 8))).bits('t')).toEqual(merged.bits('t'));
      }),
      { numRuns: 10 },
    );
  });
});

describe('the engine', () => {
  it('is the scalar reference: task arithmetic and linear over mixed dtypes and kinds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 50 }).chain((count) =>
          fc.record({
            base: tensorArbitrary(count),
            inputs: fc.array(
              fc.tuple(tensorArbitrary(count), fc.constantFrom('full' as const, 'delta' as const), fc.constantFrom(0.3, 0.5, -0.25, 0.9)),
              { minLength: 2, maxLength: 11 },
            ),
          }),
        ),
        fc.boolean(),
        async ({ base, inputs }, linear) => {
          const weights = inputs
            .map(([, , weight], index) => `${String.fromCharCode(97 + index)}: {parameters: {weight: ${weight}}}`)
            .join(', ');
          const recipe = `merge_method: ${linear ? 'linear' : 'task_arithmetic'}\nparameters: {${linear ? 'normalize: false' : 'lambda: 0.6'}}\ncontributors: {${weights}}`;
          const merge = () =>
            mergeCase(
              root,
              single,
              { recipe, base: { t: base }, contributions: inputs.map(([tensor, kind]) => ({ model: { t: tensor }, kind })) },
              { tileElements: 16 },
            );
          const expected = referenceTile({
            inputs: inputs.map(([tensor, kind, coefficient]) => ({
              ...tensor,
              coefficient,
              mode: linear ? (kind === 'full' ? 'plain' : 'plusBase') : kind === 'full' ? 'minusBase' : 'plain',
            })),
            base,
            divisor: 1,
            lambda: linear ? 1 : 0.6,
            plusBase: !linear,
            outDtype: base.dtype,
          });
          if (expected.some((bits) => !Number.isFinite(decode(base.dtype, bits)))) {
            await expectError('NON_FINITE', merge);
            return;
          }
          const merged = await merge();
          expect(merged.bits('t').map((bits) => decode(base.dtype, bits))).toEqual(expected.map((bits) => decode(base.dtype, bits)));
        },
      ),
      { numRuns: 40 },
    );
  });

  it('gives the same bytes for 1, 2, 3 and 8 threads and for odd tiles, in one file or several', async () => {
    const model = (seed: number): Model => {
      let state = seed;
      const next = () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return state / 2 ** 32 - 0.5;
      };
      const tensor = (dtype: MergeDType, count: number) => ({ dtype, values: Array.from({ length: count }, next) });
      return {
        'embed.weight': tensor('BF16', 5_001),
        'layers.0.w': tensor('F16', 3_333),
        'layers.1.w': tensor('F32', 2_047),
        'layers.1.b': tensor('BF16', 1),
        empty: tensor('F32', 0),
      };
    };
    const one: Case = {
      recipe: 'merge_method: task_arithmetic\nparameters: {lambda: 0.8, weight: [0.2, 0.9]}',
      base: model(1),
      contributions: Array.from({ length: 10 }, (_, index) => ({ model: model(index + 2) })),
    };
    const expected = await mergeCase(root, single, one);
    for (const pool of pools) {
      for (const tileElements of [64, 999, 100_000])
        expect(Buffer.compare((await mergeCase(root, pool, one, { tileElements })).fileBytes, expected.fileBytes)).toBe(0);
    }
    const sharded = await mergeCase(root, single, { ...one, shardSizeBytes: 10_000 }, { durable: true });
    expect(sharded.outcome.files.map((file) => file.name)).toEqual([
      'model-00001-of-00003.safetensors',
      'model-00002-of-00003.safetensors',
      'model-00003-of-00003.safetensors',
    ]);
    for (const name of Object.keys(one.base ?? {})) expect(sharded.bits(name)).toEqual(expected.bits(name));
  });
});
