/**
 * A fine-tuned checkpoint as a contribution of low rank: of every matrix inside of layers what STAR keeps of its task vector (arXiv 2502.10339),
 * as factors where these are smaller; everything else that changed as it is. What is unchanged is left out.
 */
import { join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Checkpoint, openCheckpoint } from '../../shared/formats/checkpoint.js';
import { LEFT_SUFFIX, RIGHT_SUFFIX } from '../../shared/formats/low-rank.js';
import { DTYPE_BYTES, type DType, isMergeDType } from '../../shared/formats/tensor.js';
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { checkCompatibility } from '../../shared/merge/compatibility.js';
import { matrixPicker, matrixShape } from '../../shared/merge/matrix-tensors.js';
import { engineText } from '../../shared/merge/model-card.js';
import { type Artifact, type ArtifactTensor, BASE_DIGEST_KEY, uniqueChunks } from '../../shared/transfer/artifact.js';
import type { CompressedMatrix } from '../../shared/workers/matrix-job.js';
import { compressMatrices, type MatrixProgress, type MatrixToCompress } from './compress-matrices.js';
import { type Compression, type NamedMatrix, summarise } from './compression.js';
import { type DescribedArtifact, type DescribeOptions, describeFolder } from './describe.js';
import { describeLowRank, type PlacedTensor } from './low-rank-artifact.js';

export interface CompressOptions extends Omit<DescribeOptions, 'kind'> {
  /** Percent of the nuclear norm that stays, (0, 100]; at 100 nothing is decomposed. */
  readonly eta: number;
  /** A folder that is there and empty; what is made lies in it, and has to until it is sent. */
  readonly scratchDir: string;
  /** Asked for when a matrix has to be decomposed. */
  readonly findEngine: () => Promise<FoundEngine>;
  readonly onMatrices: (progress: MatrixProgress) => void;
  /** What the engine has to say about itself. */
  readonly onNote: (note: string) => void;
}

export interface CompressedFolder {
  readonly described: DescribedArtifact;
  /** Hex SHA-256 of the base's weights, as they are on this disk. */
  readonly baseDigest: string;
  readonly compression: Compression;
}

const sameTensor = (a: ArtifactTensor, b: ArtifactTensor | undefined): boolean =>
  a.dtype === b?.dtype && a.chunks.length === b.chunks.length && a.chunks.every(({ digest }, index) => digest === b.chunks[index]?.digest);

/** Chunks of `artifact` that are not in `base`, in bytes. */
function bytesBeyond(artifact: Artifact, base: Artifact): number {
  const known = uniqueChunks(base);
  let bytes = 0;
  for (const [digest, length] of uniqueChunks(artifact)) if (!known.has(digest)) bytes += length;
  return bytes;
}

function checkDeclaredBase(tuned: Checkpoint, base: Artifact, where: string): void {
  const declared = tuned.metadata.get(BASE_DIGEST_KEY);
  if (declared === undefined || declared === '' || declared === base.weightsDigest) return;
  throw new TributaryError('BASE_MISMATCH', {
    what: 'The checkpoint was made from another base than the one given',
    where: `${BASE_DIGEST_KEY} in the metadata of ${tuned.path}`,
    expected: `${declared.slice(0, 16)}...`,
    got: `${base.weightsDigest.slice(0, 16)}... in ${where}`,
    fix: 'Give the base that it was fine-tuned from.',
  });
}

/** The matrices that changed and are decomposed; their scratch files are named by number. */
function matricesOf(changed: readonly string[], tuned: Checkpoint, base: Checkpoint, scratchDir: string): MatrixToCompress[] {
  const picked = matrixPicker('layers', [...base.tensors.keys()]);
  return changed.flatMap((name, index): MatrixToCompress[] => {
    const [own, before] = [tuned.tensors.get(name), base.tensors.get(name)];
    const matrix = matrixShape(before?.shape ?? []);
    if (matrix === undefined || own === undefined || before === undefined || !picked(name)) return [];
    if (!isMergeDType(own.dtype) || !isMergeDType(before.dtype)) return [];
    return [{ name, ...matrix, tuned: own, base: before, path: join(scratchDir, `${index}`) }];
  });
}

/** What takes the place of a matrix in the contribution. */
function placesOf({ name, rows, columns, base, path }: MatrixToCompress, made: CompressedMatrix, like: ArtifactTensor): PlacedTensor[] {
  const placed = (suffix: string, dtype: DType, shape: readonly number[], offset: number): PlacedTensor => ({
    info: { name: name + suffix, dtype, shape },
    path,
    offset,
  });
  switch (made.kind) {
    case 'unchanged':
      return [];
    case 'whole':
      return [{ info: like, like }];
    case 'rounded':
      return [placed('', base.dtype, base.shape, 0)];
    case 'factors': {
      const dtype = made.dtype ?? 'F32';
      const { rank } = made;
      return [placed(LEFT_SUFFIX, dtype, [rows, rank], 0), placed(RIGHT_SUFFIX, dtype, [rank, columns], rows * rank * DTYPE_BYTES[dtype])];
    }
  }
}

function smallest(tensors: readonly ArtifactTensor[]): ArtifactTensor {
  return tensors.reduce((least, tensor) => (tensor.sizeBytes < least.sizeBytes ? tensor : least));
}

/**
 * @param folder the fine-tuned checkpoint
 * @param baseFolder what it was fine-tuned from
 * @throws BASE_MISMATCH, TENSOR_MISSING and the like when the two do not belong together; NON_FINITE, LINALG_FAILED, ENGINE_UNAVAILABLE, DISK_FULL
 */
export async function compressFolder(folder: string, baseFolder: string, options: CompressOptions): Promise<CompressedFolder> {
  const { eta, scratchDir, threads, signal } = options;
  const tuned = await openCheckpoint(folder);
  const base = await openCheckpoint(baseFolder);
  checkCompatibility({ name: baseFolder, tensors: base.tensors }, { name: folder, kind: 'full', tensors: tuned.tensors });
  const { artifact: baseArtifact } = await describeFolder(baseFolder, { ...options, kind: 'full' });
  checkDeclaredBase(tuned, baseArtifact, baseFolder);
  const full = await describeFolder(folder, { ...options, kind: 'full' });
  const own = (name: string): ArtifactTensor => full.artifact.tensors.get(name) as ArtifactTensor;
  const changed = [...base.tensors.keys()].filter((name) => !sameTensor(own(name), baseArtifact.tensors.get(name)));

  const matrices = eta === 100 ? [] : matricesOf(changed, tuned, base, scratchDir);
  const engine = matrices.length === 0 ? undefined : await options.findEngine();
  for (const note of engine?.notes ?? []) options.onNote(note);
  const made =
    engine === undefined
      ? []
      : await compressMatrices(matrices, {
          eta,
          engine: engine.choice,
          threads,
          signal,
          onProgress: options.onMatrices,
        });

  const placed = new Map<string, readonly PlacedTensor[]>();
  const named: NamedMatrix[] = [];
  for (const [index, matrix] of matrices.entries()) {
    const compressed = made[index] as CompressedMatrix;
    placed.set(matrix.name, placesOf(matrix, compressed, own(matrix.name)));
    named.push({ ...compressed, name: matrix.name });
  }
  let tensors = changed.flatMap((name): readonly PlacedTensor[] => placed.get(name) ?? [{ info: own(name), like: own(name) }]);
  if (tensors.length === 0) {
    const like = smallest([...full.artifact.tensors.values()]);
    tensors = [{ info: like, like }];
  }
  const metadata = new Map([
    [BASE_DIGEST_KEY, baseArtifact.weightsDigest],
    ['tributary.compress', `star:${eta}`],
  ]);
  const described = await describeLowRank(tensors, { sources: full.sources, metadata, threads, signal });
  const compression = summarise(named, {
    eta,
    engine: engine === undefined ? null : engineText(engine),
    newBytes: bytesBeyond(described.artifact, baseArtifact),
    fullBytes: bytesBeyond(full.artifact, baseArtifact),
  });
  return { described, baseDigest: baseArtifact.weightsDigest, compression };
}
