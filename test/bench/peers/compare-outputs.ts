/** Two merged folders, element by element or, where masks were drawn, by the statistics of what was added to the base. */
import { closeSync, openSync, readSync } from 'node:fs';
import { type Checkpoint, openCheckpoint } from '../../../shared/formats/checkpoint.js';
import { isMergeDType, type MergeDType } from '../../../shared/formats/tensor.js';
import { compareNumbers, toFloats } from '../../support/compare-numbers.js';

const CHUNK_BYTES = 1 << 24;

interface Slice {
  readonly name: string;
  readonly dtype: MergeDType;
  readonly values: readonly Float32Array[];
}

function read(path: string, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const file = openSync(path, 'r');
  try {
    let filled = 0;
    while (filled < length) {
      const count = readSync(file, bytes, filled, length - filled, offset + filled);
      if (count === 0) throw new Error(`${path} ends early`);
      filled += count;
    }
  } finally {
    closeSync(file);
  }
  return bytes;
}

/** All tensors of the first checkpoint with the same places of the others, in pieces. */
function* slices(checkpoints: readonly Checkpoint[]): Generator<Slice> {
  const [first, ...others] = checkpoints;
  for (const [name, { dtype, segments, shape }] of first?.tensors ?? []) {
    const whole = [segments[0], ...others.map(({ tensors }) => tensors.get(name)?.segments[0])];
    const length = segments[0]?.length ?? 0;
    if (!isMergeDType(dtype)) throw new Error(`${name} is ${dtype}`);
    for (const other of others) {
      const its = other.tensors.get(name);
      if (its?.dtype !== dtype || its.shape.join() !== shape.join())
        throw new Error(`${name} is ${dtype} ${shape.join('x')} here and ${its?.dtype ?? 'missing'} ${its?.shape.join('x') ?? ''} there`);
    }
    for (let start = 0; start < length; start += CHUNK_BYTES) {
      const count = Math.min(CHUNK_BYTES, length - start);
      const values = whole.map((segment) => toFloats(dtype, read(segment?.path ?? '', (segment?.offset ?? 0) + start, count)));
      yield { name, dtype, values };
    }
  }
}

export async function compareElements(ours: string, theirs: string): Promise<string> {
  const checkpoints = [await openCheckpoint(ours), await openCheckpoint(theirs)];
  const [a, b] = checkpoints.map(({ tensors }) => [...tensors.keys()].sort().join());
  if (a !== b) throw new Error('the two outputs have other tensors');
  let [count, unequal, ulps, coarse, relative, where] = [0, 0, 0, 0, 0, ''];
  let dtype = '';
  for (const slice of slices(checkpoints)) {
    const [x = new Float32Array(), y = new Float32Array()] = slice.values;
    const difference = compareNumbers(slice.dtype, x, y);
    count += difference.count;
    unequal += difference.unequal;
    relative = Math.max(relative, difference.maxRelative);
    if (difference.maxUlps > ulps) [ulps, where] = [difference.maxUlps, slice.name];
    coarse = Math.max(coarse, difference.maxUlpsOfLargest);
    dtype = slice.dtype;
  }
  const share = `${((100 * unequal) / count).toFixed(4)} % of ${count} elements unequal`;
  if (unequal === 0) return share;
  return `${share}; at most ${ulps.toFixed(1)} ulps of ${dtype} (${where}), ${coarse.toFixed(1)} of the largest element's, ${relative.toExponential(1)} of the largest element`;
}

/** Smaller tensors say nothing about a random mask. */
const ENOUGH = 100_000;

/** Share of elements changed and L1 norm of the change, ours beside theirs, over the tensors of 100,000 elements and more. */
export async function compareStatistics(base: string, ours: string, theirs: string): Promise<string> {
  const checkpoints = await Promise.all([base, ours, theirs].map((folder) => openCheckpoint(folder)));
  const found = new Map<string, { count: number; changed: [number, number]; norm: [number, number] }>();
  for (const { name, values } of slices(checkpoints)) {
    const [from = new Float32Array(), ...outputs] = values;
    const sums = found.get(name) ?? { count: 0, changed: [0, 0], norm: [0, 0] };
    found.set(name, sums);
    sums.count += from.length;
    outputs.forEach((output, side) => {
      let [changed, norm] = [0, 0];
      for (let index = 0; index < from.length; index++) {
        const delta = (output[index] ?? 0) - (from[index] ?? 0);
        if (delta !== 0) changed += 1;
        norm += Math.abs(delta);
      }
      sums.changed[side as 0 | 1] += changed;
      sums.norm[side as 0 | 1] += norm;
    });
  }
  const large = [...found.values()].filter(({ count }) => count >= ENOUGH);
  const range = (values: readonly number[]): string => `${Math.min(...values).toFixed(4)} to ${Math.max(...values).toFixed(4)}`;
  const shares = [0, 1].map((side) => range(large.map(({ count, changed }) => changed[side as 0 | 1] / count)));
  const ratio = range(large.map(({ norm }) => norm[0] / norm[1]));
  return `share of elements changed: ours ${shares[0]}, mergekit ${shares[1]}; L1 norm of the change, ours / mergekit: ${ratio} (over ${large.length} tensors)`;
}
