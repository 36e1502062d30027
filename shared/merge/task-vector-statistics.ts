/** Norms of a contribution's task vector, for admission: fp64 sums over units of fixed size, added in order, so that they never depend on threads. */
import { availableParallelism } from 'node:os';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { elementCount } from '../formats/safetensors-header.js';
import { isMergeDType, type StoredTensor } from '../formats/tensor.js';
import { compileKernels, DTYPE_CODE } from '../kernels/kernels.js';
import { startPool, type WorkerPool } from '../workers/pool.js';
import { BASE_USE, CONTROL } from '../workers/protocol.js';
import { createSourceTableBuilder, type SourceTableBuilder, sharedNumbers } from '../workers/source-table.js';
import { NORM_UNIT_ELEMENTS } from '../workers/sum-norms.js';
import { holdsWeights } from './plan-sum.js';
import type { MergeBase, MergeInput } from './types.js';
import { isUnchanged } from './unchanged.js';

export interface StatisticsRequest {
  /** Undefined: the input is no contribution but a base itself; its own weights are measured. */
  readonly base: MergeBase | undefined;
  /** A full checkpoint (task vector = weights - base) or a delta (task vector = itself). */
  readonly input: Pick<MergeInput, 'name' | 'kind' | 'tensors'>;
  readonly threads?: number | undefined;
  /** Threads that are running already (without `callerHelps`); the caller closes them. */
  readonly pool?: WorkerPool | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface NonFiniteElement {
  readonly tensor: string;
  /** Row-major index of the element. */
  readonly index: number;
  readonly value: number;
}

export interface TaskVectorStatistics {
  /** Sum of squares per tensor with merge arithmetic that is in both models; integers have none. */
  readonly normSquaredByTensor: ReadonlyMap<string, number>;
  /** Euclidean norm over all of them. NaN when `nonFinite` is set. */
  readonly norm: number;
  /** The first NaN or infinity found in the input. */
  readonly nonFinite?: NonFiniteElement | undefined;
}

/** @throws NON_FINITE when the base itself is not finite, SAFETENSORS_TRUNCATED, IO_ERROR, INTERRUPTED */
export async function taskVectorStatistics(request: StatisticsRequest): Promise<TaskVectorStatistics> {
  const { base, input } = request;
  const builder = createSourceTableBuilder();
  const fields: number[] = [];
  const units: string[] = [];
  const still: string[] = [];
  for (const [name, tensor] of input.tensors) {
    const baseTensor = base?.tensors.get(name);
    if (base !== undefined && baseTensor === undefined) continue;
    if (input.kind === 'full' && isUnchanged(tensor, baseTensor)) {
      if (isMergeDType(tensor.dtype)) still.push(name);
    } else addUnits(builder, tensor, holdsWeights(input, tensor) ? baseTensor : undefined, fields, units);
  }
  const control = new Int32Array(new SharedArrayBuffer(CONTROL.slots * 4));
  const sums = sharedNumbers(Array(units.length).fill(0));
  const pool = request.pool ?? startPool(request.threads ?? availableParallelism());
  try {
    const kernels = await compileKernels();
    const findings = await pool.run(
      { kind: 'norms', control, kernels, sources: builder.build(), units: sharedNumbers(fields), sums },
      { signal: request.signal },
    );
    const [first] = findings.filter((finding) => finding.kind === 'nonFinite').sort((a, b) => a.unit - b.unit);
    const normSquaredByTensor = new Map(still.map((name) => [name, 0]));
    units.forEach((tensor, index) => normSquaredByTensor.set(tensor, (normSquaredByTensor.get(tensor) ?? 0) + (sums[index] ?? 0)));
    if (first === undefined) {
      let sum = 0;
      for (const one of normSquaredByTensor.values()) sum += one;
      return { normSquaredByTensor, norm: Math.sqrt(sum) };
    }
    const tensor = units[first.unit] ?? '';
    if (first.use === BASE_USE) {
      throw new TributaryError('NON_FINITE', {
        what: 'the base model holds a NaN or infinity',
        where: `${base?.name ?? input.name}: ${tensor}, element ${first.element}`,
        got: String(first.value),
      });
    }
    return { normSquaredByTensor, norm: Number.NaN, nonFinite: { tensor, index: first.element, value: first.value } };
  } catch (error) {
    throw toTributaryError(error, input.name);
  } finally {
    if (request.pool === undefined) await pool.close();
  }
}

function addUnits(
  builder: SourceTableBuilder,
  tensor: StoredTensor,
  base: StoredTensor | undefined,
  fields: number[],
  units: string[],
): void {
  if (!isMergeDType(tensor.dtype) || (base !== undefined && !isMergeDType(base.dtype))) return;
  const count = elementCount(tensor.shape) ?? 0;
  if (count === 0) return;
  const source = builder.addTensor(tensor);
  const baseSource = base === undefined ? -1 : builder.addTensor(base);
  const baseCode = base !== undefined && isMergeDType(base.dtype) ? DTYPE_CODE[base.dtype] : 0;
  for (let start = 0; start < count; start += NORM_UNIT_ELEMENTS) {
    fields.push(source, DTYPE_CODE[tensor.dtype], baseSource, baseCode, start, Math.min(NORM_UNIT_ELEMENTS, count - start));
    units.push(tensor.name);
  }
}
