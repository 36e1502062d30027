/** Matrices to decompose, as raw files of f32: the same on every machine. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gaussian, type Random, randomStream } from '../../client/train/random.js';

/** `fine-tune`: what training adds to a matrix, a few directions of falling strength over noise. */
export const DATA_KINDS = ['noise', 'fine-tune'] as const;
export type DataKind = (typeof DATA_KINDS)[number];

export interface Shape {
  readonly rows: number;
  readonly columns: number;
}

/** Directions of the signal; the one numbered i is of strength i^-0.75. */
const SIGNAL_RANK = 64;
const SIGNAL_DECAY = 0.75;
/** Largest singular value of the noise, where the signal's is 1: both have about the same nuclear norm. */
const NOISE_STRENGTH = 0.02;
/** Of the largest singular value. */
const SIZE = 0.1;

function noise({ rows, columns }: Shape, random: Random): Float32Array {
  // A Gaussian matrix has a largest singular value of about sqrt(rows) + sqrt(columns).
  const size = SIZE / (Math.sqrt(rows) + Math.sqrt(columns));
  return Float32Array.from({ length: rows * columns }, () => size * gaussian(random));
}

/** Random directions in so many dimensions are all but orthogonal. */
function fineTune(shape: Shape, random: Random): Float32Array {
  const { rows, columns } = shape;
  const left = Float64Array.from({ length: rows * SIGNAL_RANK }, () => gaussian(random) / Math.sqrt(rows));
  const right = Float64Array.from({ length: SIGNAL_RANK * columns }, () => gaussian(random) / Math.sqrt(columns));
  const under = noise(shape, random);
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    const values = under.subarray(row * columns, (row + 1) * columns);
    for (let column = 0; column < columns; column++) sums[column] = NOISE_STRENGTH * (values[column] ?? 0);
    for (let direction = 0; direction < SIGNAL_RANK; direction++) {
      const factor = SIZE * (direction + 1) ** -SIGNAL_DECAY * (left[row * SIGNAL_RANK + direction] ?? 0);
      const from = direction * columns;
      for (let column = 0; column < columns; column++) sums[column] = (sums[column] ?? 0) + factor * (right[from + column] ?? 0);
    }
    values.set(sums);
  }
  return under;
}

/** Writes what is missing of `count` matrices and returns their files. */
export function spectralData(folder: string, kind: DataKind, shape: Shape, count: number): string[] {
  mkdirSync(folder, { recursive: true });
  return Array.from({ length: count }, (_, index) => {
    const name = `${kind}-${shape.rows}x${shape.columns}-${index}`;
    const path = join(folder, `${name}.f32`);
    if (!existsSync(path)) {
      const random = randomStream(index, name);
      writeFileSync(`${path}.part`, kind === 'noise' ? noise(shape, random) : fineTune(shape, random));
      renameSync(`${path}.part`, path);
    }
    return path;
  });
}
