/** Derivations of a plan as tasks for threads: sources as numbers in a table, shapes, what to do. */
import { isMergeDType, type StoredTensor } from '../formats/tensor.js';
import { DTYPE_CODE } from '../kernels/kernels.js';
import type { MatrixInput, MatrixTask, StoredMatrix, StoredProduct } from '../workers/matrix-job.js';
import { createSourceTableBuilder, type SourceTable, type SourceTableBuilder } from '../workers/source-table.js';
import { type Derivation, scratchPathOf } from './derive.js';

export interface CompiledMatrices {
  readonly sources: SourceTable;
  readonly tasks: readonly MatrixTask[];
}

export function storedMatrix(builder: SourceTableBuilder, tensor: StoredTensor): StoredMatrix {
  return { source: builder.addTensor(tensor), dtype: isMergeDType(tensor.dtype) ? DTYPE_CODE[tensor.dtype] : -1 };
}

/** Undefined of a tensor that is no product. */
export function storedProduct(builder: SourceTableBuilder, { product, shape }: StoredTensor): StoredProduct | undefined {
  if (product === undefined) return undefined;
  const { left, right, rank, scale, transposed } = product;
  const [first = 0, ...rest] = shape;
  const behind = rest.reduce((count, size) => count * size, 1);
  const [rows, columns] = transposed ? [behind, first] : [first, behind];
  return { left: storedMatrix(builder, left), right: storedMatrix(builder, right), rows, columns, rank, scale, transposed };
}

/** @param pathOf where a scratch path of the plan lies */
export function compileMatrices(derivations: readonly Derivation[], pathOf: (path: string) => string): CompiledMatrices {
  const builder = createSourceTableBuilder();
  const tasks = derivations.map((derivation): MatrixTask => {
    const { rows, columns, combine, base } = derivation;
    const inputs = derivation.inputs.map(({ tensor, difference, eta, weight }): MatrixInput => {
      const product = eta === undefined ? undefined : storedProduct(builder, tensor);
      return { ...storedMatrix(builder, tensor), difference, eta, weight, product };
    });
    const taken = base === undefined ? undefined : storedMatrix(builder, base);
    return { rows, columns, combine, inputs, base: taken, path: pathOf(scratchPathOf(derivation)) };
  });
  return { sources: builder.build(), tasks };
}
