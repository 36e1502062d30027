/** Makes factors of many weights in threads that own a linear algebra engine, one file a weight, as many at a time as fit into memory. */

import { TributaryError } from '../errors/tributary-error.js';
import type { MergeDType, StoredTensor } from '../formats/tensor.js';
import type { EngineChoice } from '../linalg/linear-algebra.js';
import { storedMatrix, storedProduct } from '../merge/compile-matrices.js';
import { nonFiniteError } from '../merge/findings.js';
import { runMatrixBatch } from '../merge/matrix-batch.js';
import type { FactorSize } from '../spectral/factors.js';
import { peakBytes } from '../spectral/memory.js';
import type { FactoredMatrix, FactorTask, NotFinite, ProductTerm } from '../workers/matrix-job.js';
import { createSourceTableBuilder, type SourceTableBuilder } from '../workers/source-table.js';
import { matrixOf, type Slot } from './factor-slots.js';
import type { VectorSource } from './vector-source.js';

export interface WeightToFactor {
  readonly base: StoredTensor;
  readonly source: VectorSource;
  readonly slot: Slot;
  /** The file for A and B. */
  readonly path: string;
}

export interface FactorStage {
  readonly weights: readonly WeightToFactor[];
  readonly baseName: string;
  readonly size: FactorSize;
  readonly dtype: MergeDType;
  readonly engine: EngineChoice;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  readonly onDone: (index: number) => void;
}

function taskOf(builder: SourceTableBuilder, { base, source, slot, path }: WeightToFactor, { size, dtype }: FactorStage): FactorTask {
  const common = { ...matrixOf(base.shape), size, dtype, turned: slot.turned, path };
  if (source.kind === 'stored') {
    const { tensor, difference } = source;
    const taken = difference ? undefined : storedMatrix(builder, base);
    return { ...common, of: { kind: 'matrix', matrix: storedMatrix(builder, tensor), base: taken } };
  }
  const terms = source.terms.map(({ tensor, weight, eta }, input): ProductTerm => {
    const product = storedProduct(builder, tensor);
    if (product === undefined) throw new TributaryError('INTERNAL', { what: 'a term of a sum of products is none', where: tensor.name });
    return { input, product, weight, eta };
  });
  return { ...common, of: { kind: 'products', terms } };
}

function bytesOf({ base, source }: WeightToFactor): number {
  const { rows, columns } = matrixOf(base.shape);
  if (source.kind === 'stored') return peakBytes('starFactors', rows, columns, 1) + 4 * rows * columns;
  const ranks = source.terms.reduce((sum, { tensor }) => sum + (tensor.product?.rank ?? 0), 0);
  // The factors that are made stand beside what they are made of when the error is measured, in fp64.
  return peakBytes('aggregate', rows, columns, ranks) + 24 * ranks * (rows + columns);
}

function notFiniteError({ base, source }: WeightToFactor, { input, element, value }: NotFinite, baseName: string): TributaryError {
  const model = input < 0 ? baseName : source.kind === 'stored' ? source.model : (source.terms[input]?.model ?? '');
  return nonFiniteError(model, base.name, source.kind === 'products' ? `${element} of a factor` : element, value);
}

/** @throws NON_FINITE, also when a factor is beyond the dtype; LINALG_FAILED, ENGINE_UNAVAILABLE, INTERRUPTED, DISK_FULL */
export async function factorWeights(stage: FactorStage): Promise<FactoredMatrix[]> {
  const { weights, dtype, baseName } = stage;
  if (weights.length === 0) return [];
  const builder = createSourceTableBuilder();
  const tasks = weights.map((weight) => taskOf(builder, weight, stage));
  const sources = builder.build();
  return runMatrixBatch({
    ...stage,
    requests: tasks.map((task) => ({ kind: 'factor', task, sources })),
    bytesOf: (index) => bytesOf(weights[index] as WeightToFactor),
    resultOf({ notFinite, factored }, index) {
      const weight = weights[index] as WeightToFactor;
      if (notFinite !== undefined) throw notFiniteError(weight, notFinite, baseName);
      if (factored === undefined)
        throw new TributaryError('INTERNAL', { what: 'a matrix came back without factors', where: weight.base.name });
      if (!Number.isFinite(factored.residualNorm))
        throw new TributaryError('NON_FINITE', {
          what: `a factor of ${weight.base.name} is too large for ${dtype}`,
          where: weight.base.name,
          fix: 'Store the adapter as bfloat16 or float32.',
        });
      stage.onDone(index);
      return factored;
    },
  });
}
