/** The engines that the spectral rules are tested on: a slow and simple one, and all that this machine has. */

import type { LinearAlgebra, Matrix, Reals, Spectrum } from '../../shared/linalg/linear-algebra.js';
import { loadEngine } from '../../shared/linalg/load-engine.js';
import { engineChoices } from './engine-choices.js';
import { naiveEngine } from './naive-engine.js';

export interface EngineCase {
  readonly name: string;
  readonly load: () => Promise<LinearAlgebra>;
}

/** With the rounding that real engines have: values and vectors from the eigenvectors of the fp64 Gram matrix. */
const gramEngine: LinearAlgebra = {
  ...naiveEngine,
  spectrum(a: Matrix<Reals>): Spectrum {
    const side = a.columns <= a.rows ? 'right' : 'left';
    const { values, vectors } = naiveEngine.eigh(naiveEngine.gram(a, side));
    const count = values.length;
    const descending = Array.from({ length: count }, (_, index) =>
      vectors.data.subarray((count - 1 - index) * count, (count - index) * count),
    );
    return {
      values: values.toReversed().map((value) => Math.sqrt(Math.max(0, value))),
      side,
      vectors: (wanted) => ({
        rows: wanted,
        columns: count,
        data: Float64Array.from(descending.slice(0, wanted).flatMap((row) => Array.from(row))),
      }),
    };
  },
};

export const SPECTRAL_ENGINES: readonly EngineCase[] = [
  { name: 'ml-matrix', load: async () => naiveEngine },
  { name: 'ml-matrix by Gram matrices', load: async () => gramEngine },
  ...engineChoices().map((choice) => ({ name: choice.engine, load: () => loadEngine(choice) })),
];
