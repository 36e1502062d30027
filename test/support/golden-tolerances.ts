/**
 * How close our merges have to be to mergekit's, by method, arithmetic dtype and numerics. The numbers for `exact` are what the same formulas
 * without mergekit's roundings were measured to differ by (torch 2.13, fp64), with a margin of one ulp.
 */
import type { MergeDType } from '../../shared/formats/tensor.js';

export type Numerics = 'exact' | 'mergekit';

export interface Tolerance {
  readonly ulps: number;
  /** An ulp is that of the element, but at least that of the tensor's largest divided by this: see compare-numbers.ts. */
  readonly floor: number;
  /** Share of elements that may lie farther away. */
  readonly flips: number;
  /** Share of elements whose bits may differ. */
  readonly unequal: number;
}

const BITS: Tolerance = { ulps: 0, floor: 64, flips: 0, unequal: 0 };

/** Every step is a rounding of its own and no result hangs on the order of a long sum: formulas rounded so gave every bit. */
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

/** An election is decided by a rounding that only one of the two makes, and terms that cancel are divided by what is left of their weights. */
const ELECTING = ['ties', 'dare_ties', 'della', 'breadcrumbs_ties', 'sce'];

/**
 * Coefficients come from norms and dot products: ours in fp64, mergekit's in the dtype. In BF16 that is coarse: two vectors are often parallel to
 * it, and the direction of a nearly constant vector (a norm's weight) is off by up to 28 ulps for karcher.
 */
const OF_ANGLES: Readonly<Record<string, Tolerance>> = {
  slerp: { ulps: 1, floor: 4, flips: 0, unequal: 0.01 },
  nuslerp: { ulps: 4, floor: 4, flips: 0, unequal: 1 },
  multislerp: { ulps: 4, floor: 4, flips: 0, unequal: 1 },
  karcher: { ulps: 4, floor: 4, flips: 0.1, unequal: 1 },
  model_stock: { ulps: 3, floor: 4, flips: 0, unequal: 1 },
  sce: { ulps: 1, floor: 4, flips: 0, unequal: 0.01 },
};

export function toleranceFor(method: string, dtype: MergeDType, numerics: Numerics): Tolerance {
  // The divergence of two nearly equal rows is rounding noise, in 16 bits more noise than anything else.
  if (method === 'arcee_fusion') return { ulps: 2, floor: 4, flips: dtype === 'F32' ? 0.02 : 0.25, unequal: 1 };
  if (numerics === 'mergekit' && ELEMENTWISE.includes(method)) return BITS;
  const ofAngles = OF_ANGLES[method];
  const flips = ELECTING.includes(method) ? 0.02 : 0;
  if (dtype === 'F32') return { ulps: 5, floor: 4, flips: numerics === 'exact' ? flips : 0, unequal: 1 };
  if (ofAngles === undefined) return { ulps: 3, floor: 4, flips, unequal: 1 };
  return numerics === 'exact'
    ? { ...ofAngles, ulps: Math.max(3, ofAngles.ulps), flips: Math.max(flips, ofAngles.flips), unequal: 1 }
    : ofAngles;
}
