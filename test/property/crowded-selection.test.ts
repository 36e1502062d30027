/** Selection by magnitude where few magnitudes are shared by many elements, in tensors of several units: held to a plain sort. */
import { afterAll, describe, expect, it } from 'vitest';
import { startPool } from '../../shared/workers/pool.js';
import { mergeWritten, writeCase } from '../support/offline-merge.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(2);
afterAll(() => pool.close());

const SHAPE = [2200, 64];
const COUNT = 140_800;

/** Magnitudes by their share; the rest is zero. */
const CROWDS: Readonly<Record<string, readonly (readonly [magnitude: number, share: number])[]>> = {
  'two magnitudes': [
    [1, 0.5],
    [2, 0.5],
  ],
  'some, with neighbours between them': [
    [1, 0.2],
    [1.0078125, 0.01],
    [1.015625, 0.3],
    [4, 0.4],
  ],
  'mostly zero': [
    [0.5, 0.05],
    [3, 0.03],
  ],
  'one for all': [[0.25, 1]],
  'a crowd and a slope': [[1, 0.45], ...Array.from({ length: 55 }, (_, i): [number, number] => [2 ** -8 * (i + 128), 0.01])],
};

function valuesOf(crowd: readonly (readonly [number, number])[]): number[] {
  let state = 12_345;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: COUNT }, () => {
    let left = next();
    const sign = next() < 0.5 ? -1 : 1;
    for (const [magnitude, share] of crowd) {
      if (left < share) return sign * magnitude;
      left -= share;
    }
    return 0;
  });
}

/** Elements at places [from, to) in ascending order of magnitude; of equal ones the first index stands higher, or lower. */
function kept(values: readonly number[], from: number, to: number, ties: 'first higher' | 'first lower'): number[] {
  const order = values.map((_, index) => index);
  const turn = ties === 'first higher' ? -1 : 1;
  order.sort((a, b) => Math.abs(values[a] ?? 0) - Math.abs(values[b] ?? 0) || turn * (a - b));
  const stays = new Set(order.slice(from, to));
  return values.map((value, index) => (stays.has(index) ? value : 0));
}

const tensor = (values: readonly number[]) => ({ 'layers.0.w': { dtype: 'BF16' as const, shape: SHAPE, values: [...values] } });

async function merged(recipe: string, parameters: Record<string, number>, values: readonly number[]): Promise<number[]> {
  const zeros = values.map(() => 0);
  const one = { recipe, parameters: { weight: 1, ...parameters }, base: tensor(zeros), models: [{ tensors: tensor(values) }] };
  return (await mergeWritten(writeCase(root, one), { pool })).values('layers.0.w');
}

describe.each(Object.entries(CROWDS))('%s', (_name, crowd) => {
  const values = valuesOf(crowd);

  it.each([0.03, 0.2, 0.45, 0.5, 0.7, 0.99])('keeps the largest, the first of equal ones: density %d', async (density) => {
    const found = await merged('merge_method: ties', { density }, values);
    const expected = kept(values, COUNT - Math.trunc(density * COUNT), COUNT, 'first higher');
    expect(found.findIndex((value, index) => value !== expected[index])).toBe(-1);
  });

  it.each([
    [0.5, 0.1],
    [0.3, 0.01],
    [0.8, 0.05],
  ])('leaves out both ends: density %d, gamma %d', async (density, gamma) => {
    const found = await merged('merge_method: breadcrumbs', { density, gamma }, values);
    const top = Math.trunc(gamma * COUNT);
    const expected = kept(values, COUNT - Math.trunc(density * COUNT) - top, COUNT - top, 'first lower');
    expect(found.findIndex((value, index) => value !== expected[index])).toBe(-1);
  });
});
