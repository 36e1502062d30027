/**
 * DELLA's drop (arXiv 2406.11617): within a row the probability of being kept grows with the rank of the magnitude, from density - epsilon to
 * density + epsilon. Rows are ranked whole, so these vectors come a row at a time.
 */
import type { VectorFunctions } from '../kernels/block-functions.js';
import type { Kernels } from '../kernels/kernels.js';
import type { Stage } from '../merge/program.js';

export interface RowDraw {
  /** Zeroes what is dropped of one row. @param element index in the tensor of the row's first element */
  draw(v: VectorFunctions, stage: Extract<Stage, { kind: 'della' }>, use: number, row: number, element: number, columns: number): void;
}

export function createRowDraw(kernels: Kernels): RowDraw {
  let capacity = 0;
  let keys = 0;
  let ranks = 0;
  let scratch = 0;

  function reserve(columns: number): void {
    if (columns <= capacity) return;
    capacity = columns;
    keys = kernels.reserve(columns * 4);
    ranks = kernels.reserve(columns * 4);
    scratch = kernels.reserve(columns * 16);
  }

  return {
    draw(v, stage, use, row, element, columns) {
      const density = stage.densities[use] ?? 1;
      if (density >= 1) return;
      if (density <= 0) {
        v.scale(row, 0, columns);
        return;
      }
      reserve(columns);
      v.keysOf(row, columns, keys);
      kernels.run.ranks(keys, columns, scratch, ranks);
      const epsilon = columns === 1 ? 0 : (stage.epsilons[use] ?? 0);
      const step = columns === 1 ? 0 : (2 * epsilon) / (columns - 1);
      const [low, high] = stage.keys[use] ?? [0, 0];
      v.dellaMask(row, ranks, columns, columns, density - epsilon, step, element, low, high, stage.rescale === 'probability' ? 1 : 0);
    },
  };
}
