/** Checkpoints to compress, and what the contribution holds that came of it. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CompressedFolder, type CompressOptions, compressFolder } from '../../client/push/compress-folder.js';
import type { DescribedArtifact } from '../../client/push/describe.js';
import { DTYPE_BYTES, isMergeDType, type MergeDType } from '../../shared/formats/tensor.js';
import type { Matrix, Reals } from '../../shared/linalg/linear-algebra.js';
import { fastestEngine as choice } from './engine-choices.js';
import type { Values } from './merge-fixture.js';
import { decode, encode } from './scalar-reference.js';

/** Numbers of a dtype, as they come out when `numbers` are stored. */
export const rounded = (dtype: MergeDType, numbers: ArrayLike<number>): number[] =>
  Array.from(numbers, (number) => decode(dtype, encode(dtype, number)));

export const valuesOf = (dtype: MergeDType, shape: readonly number[], numbers: ArrayLike<number>): Values => ({
  dtype,
  shape,
  values: rounded(dtype, numbers),
});

/** The base's values and a difference, stored in `dtype` (the base's when left out). */
export function tunedBy(base: Values, difference: Matrix<Reals>, dtype = base.dtype): Values {
  const numbers = (base.values ?? []).map((value, index) => Math.fround(value + (difference.data[index] ?? 0)));
  return valuesOf(dtype, base.shape ?? [], numbers);
}

/** What the two differ by, seen as a matrix. */
export function vectorOf(tuned: Values, base: Values): Matrix<Float64Array> {
  const [rows = 0] = base.shape ?? [];
  const data = Float64Array.from(tuned.values ?? [], (value, index) => Math.fround(value - (base.values?.[index] ?? 0)));
  return { rows, columns: data.length / rows, data };
}

export const findEngine: CompressOptions['findEngine'] = async () => ({
  choice,
  device: 'cpu',
  library: choice.engine,
  reason: '',
  notes: ['a note'],
});

export interface CompressedForTest extends CompressedFolder {
  readonly scratchDir: string;
}

export async function compressForTest(
  root: string,
  folder: string,
  base: string,
  eta: number,
  options: Partial<CompressOptions> = {},
): Promise<CompressedForTest> {
  const scratchDir = mkdtempSync(join(root, 'scratch-'));
  const compressed = await compressFolder(folder, base, {
    eta,
    scratchDir,
    findEngine,
    threads: 2,
    cache: undefined,
    signal: new AbortController().signal,
    onProgress: () => {},
    onMatrices: () => {},
    onNote: () => {},
    ...options,
  });
  return { ...compressed, scratchDir };
}

/** A tensor of an artifact, from where its chunks lie. */
export function storedTensor({ artifact, sources }: DescribedArtifact, name: string) {
  const tensor = artifact.tensors.get(name);
  if (tensor === undefined) throw new Error(`no tensor ${name}, but ${[...artifact.tensors.keys()].join(', ')}`);
  const bytes = Buffer.concat(
    tensor.chunks.map(({ digest }) => {
      const { path, offset, length } = sources.get(digest) ?? { path: '', offset: 0, length: 0 };
      return readFileSync(path).subarray(offset, offset + length);
    }),
  );
  const { dtype, shape } = tensor;
  const width = DTYPE_BYTES[dtype];
  const values = (): Float64Array => {
    if (!isMergeDType(dtype)) throw new Error(`${name} is ${dtype}`);
    return Float64Array.from({ length: bytes.length / width }, (_, index) =>
      decode(dtype, width === 4 ? bytes.readUInt32LE(index * 4) : bytes.readUInt16LE(index * 2)),
    );
  };
  return { dtype, shape, bytes, values };
}

/** A stored matrix. */
export function storedMatrix(described: DescribedArtifact, name: string): Matrix<Float64Array> {
  const { shape, values } = storedTensor(described, name);
  const [rows = 0] = shape;
  const data = values();
  return { rows, columns: data.length / rows, data };
}
