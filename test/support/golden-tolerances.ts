/** How close our merges have to be to mergekit's, by method, arithmetic dtype and numerics. In ulps as compare-numbers.ts counts them. */
import type { MergeDType } from '../../shared/formats/tensor.js';

export type Numerics = 'exact' | 'mergekit';

interface Tolerance {
  readonly ulps: number;
  /** Share of elements that may lie farther away. */
  readonly flips: number;
  /** Share of elements whose bits may differ. */
  readonly unequal: number;
}

const EXACTLY: Tolerance = { ulps: 0, flips: 0, unequal: 0 };

/** Every operation is one rounding and no result depends on the order of a long sum. */
const ELEMENTWISE = [
  'linear',
  'task_arithmetic',
  'ties',
  'dare_linear',
  'dare_ties',
  'della',
  'della_linear',
  'breadcrumbs',
  'breadcrumbs_ties',
  'passthrough',
  'nearswap',
];
/** An element kept or dropped by a rounding that ours does not make, or a sum of opposite terms whose sign it decides. */
const ELECTING = ['ties', 'dare_ties', 'della', 'breadcrumbs_ties', 'sce', 'arcee_fusion'];

export function toleranceFor(method: string, dtype: MergeDType, numerics: Numerics): Tolerance {
  const flips = ELECTING.includes(method) ? 0.01 : 0;
  if (numerics === 'exact') return { ulps: dtype === 'F32' ? 8 : 2, flips, unequal: 1 };
  if (ELEMENTWISE.includes(method)) return dtype === 'F32' ? { ulps: 2, flips: 0, unequal: 0.05 } : EXACTLY;
  return dtype === 'F32' ? { ulps: 8, flips, unequal: 1 } : { ulps: 1, flips, unequal: 0.01 };
}
