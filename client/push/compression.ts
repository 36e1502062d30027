/** What a compression did, over all matrices. Pure. */
import type { MergeDType } from '../../shared/formats/tensor.js';
import type { CompressedMatrix } from '../../shared/workers/matrix-job.js';

export interface Compression {
  readonly method: 'star';
  /** Percent of the nuclear norm that stays. */
  readonly eta: number;
  /** Library and device; null where nothing had to be decomposed. */
  readonly engine: string | null;
  /** How many matrices of the task vector are sent how. */
  readonly matrices: Readonly<Record<CompressedMatrix['kind'], number>>;
  readonly factors: Readonly<Partial<Record<MergeDType, number>>>;
  /** Of the factors; null where there are none. */
  readonly rank: { readonly least: number; readonly most: number } | null;
  /** Distance of the truncated vectors from the task vectors, over all matrices and of the worst one, relative to their norm (Frobenius). */
  readonly error: number;
  readonly worst: { readonly tensor: string; readonly error: number } | null;
  /** The same of what is sent from the truncated vectors: rounding. */
  readonly rounding: number;
  /** Bytes that the base does not have, of this contribution and of the same one uncompressed. */
  readonly newBytes: number;
  readonly fullBytes: number;
}

export interface NamedMatrix extends CompressedMatrix {
  readonly name: string;
}

const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/** Square root of the sum of squares. */
const together = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

export function summarise(
  matrices: readonly NamedMatrix[],
  about: Pick<Compression, 'eta' | 'engine' | 'newBytes' | 'fullBytes'>,
): Compression {
  const counts = { factors: 0, rounded: 0, whole: 0, unchanged: 0 };
  const factors: Partial<Record<MergeDType, number>> = {};
  let worst: Compression['worst'] = null;
  for (const { kind, dtype, name, cutNorm, norm } of matrices) {
    counts[kind] += 1;
    if (dtype !== undefined) factors[dtype] = (factors[dtype] ?? 0) + 1;
    const error = share(cutNorm, norm);
    if (error > (worst?.error ?? 0)) worst = { tensor: name, error };
  }
  const ranks = matrices.flatMap(({ kind, rank }) => (kind === 'factors' ? [rank] : []));
  return {
    method: 'star',
    ...about,
    matrices: counts,
    factors,
    rank: ranks.length === 0 ? null : { least: Math.min(...ranks), most: Math.max(...ranks) },
    error: share(together(matrices.map(({ cutNorm }) => cutNorm)), together(matrices.map(({ norm }) => norm))),
    worst,
    rounding: share(together(matrices.map(({ roundingNorm }) => roundingNorm)), together(matrices.map(({ keptNorm }) => keptNorm))),
  };
}
