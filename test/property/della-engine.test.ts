import { afterAll, describe, expect, it } from 'vitest';
import type { MergeDType } from '../../shared/formats/tensor.js';
import { startPool } from '../../shared/workers/pool.js';
import type { Values } from '../support/merge-fixture.js';
import { mergeWritten, writeCase } from '../support/offline-merge.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pools = [startPool(1), startPool(3)];
afterAll(() => Promise.all(pools.map((pool) => pool.close())));

/** Rows that end at no byte, that are longer than a block or a unit, and matrices of several units. */
const SHAPES = [[7], [1], [5001], [70_001], [5, 9001], [30, 3, 3], [500, 301], [9, 1024], [3, 4096], [40_000, 3], [300, 1], [2, 70_003]];

type Tensors = Readonly<Record<string, Values & { readonly values: readonly number[] }>>;

function tensorsOf(dtype: MergeDType): Tensors {
  return Object.fromEntries(
    SHAPES.map((shape, tensor) => {
      let state = tensor + 1;
      const values = Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        // Never zero, often equal.
        return ((state >>> 12) % 37) - 18.5;
      });
      return [`t${tensor}`, { dtype, shape, values }];
    }),
  );
}

describe('della', () => {
  it.each(['F32', 'BF16'] as const)('drops the same elements of %s by bins before the merge and by ranks in it', async (dtype) => {
    const tensors = tensorsOf(dtype);
    const base = Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name, { ...tensor, values: tensor.values.map(() => 0) }]),
    );
    const merge = (rescale: string, pool = pools[0]) =>
      mergeWritten(
        writeCase(root, {
          recipe: 'merge_method: della_linear',
          parameters: { weight: 1, density: 0.4, epsilon: 0.3, rescale },
          base,
          models: [{ tensors }],
        }),
        pool === undefined ? {} : { pool },
      );
    const [byBins, byRanks, threads] = [await merge('off'), await merge('1/p'), await merge('off', pools[1])];
    expect(Buffer.compare(byBins.fileBytes, threads.fileBytes)).toBe(0);
    for (const [name, { values }] of Object.entries(tensors)) {
      const kept = byBins.values(name);
      expect(kept.findIndex((value, index) => value !== 0 && value !== values[index])).toBe(-1);
      const masks = [kept, byRanks.values(name)].map((merged) => merged.map((value) => (value === 0 ? 0 : 1)).join(''));
      expect(masks[0]).toBe(masks[1]);
      const share = kept.filter((value) => value !== 0).length / kept.length;
      expect(Math.abs(share - 0.4)).toBeLessThan(3 / Math.sqrt(kept.length));
    }
  });
});
