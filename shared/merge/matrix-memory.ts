/** How much memory the work on one tensor's matrices takes. */
import { peakBytes, type SpectralOperation } from '../spectral/memory.js';
import type { Derivation, MatrixCombine } from './derive.js';

const OPERATION: Readonly<Record<MatrixCombine['kind'], SpectralOperation>> = {
  each: 'addStar',
  sum: 'addStar',
  tsv: 'tsvMerge',
  iso_c: 'isoC',
  iso_cts: 'isoCts',
  knots: 'knots',
  wudi: 'wudiMerge',
};

/** What a thread needs at its peak, in bytes: the operation, and vectors that are transformed or added up in front of it. */
export function taskBytes({ rows, columns, inputs, combine }: Pick<Derivation, 'rows' | 'columns' | 'combine' | 'inputs'>): number {
  const transformed = combine.kind === 'each' || combine.kind === 'sum' ? 0 : peakBytes('addStar', rows, columns, 1);
  const held = combine.kind === 'iso_c' ? 4 * rows * columns * inputs.length : 4 * rows * columns;
  return held + Math.max(transformed, peakBytes(OPERATION[combine.kind], rows, columns, inputs.length));
}
