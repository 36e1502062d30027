/**
 * Reads every weight of a contribution once: is all of it finite, and how long is its task vector. Sums are fp64 over units of fixed size,
 * added in order, so the result does not depend on the number of threads.
 */
import { elementCount } from '../formats/safetensors-header.js';
import { isMergeDType, type StoredTensor } from '../formats/tensor.js';
import { compileKernels, DTYPE_CODE } from '../kernels/kernels.js';
import { startPool } from '../workers/pool.js';
import { BASE_USE, CONTROL, type NormsJob } from '../workers/protocol.js';
import { createSourceTableBuilder, sharedNumbers } from '../workers/source-table.js';
import { NORM_UNIT_ELEMENTS } from '../workers/sum-norms.js';
import type { MergeBase, MergeInput } from './types.js';

export interface StatisticsRequest {
  /** What the task vector is the difference to; without it norms are of the weights themselves. Not used for a delta. */
  readonly base?: MergeBase | undefined;
  readonly input: MergeInput;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
}

export interface TaskVectorStatistics {
  /** Sum of squares of the task vector, by tensor of a mergeable dtype. */
  readonly normSquaredByTensor: ReadonlyMap<string, number>;
  /** Euclidean norm over all of them. */
  readonly norm: number;
  /** The first weight found that is NaN or infinite. */
  readonly nonFinite?: { readonly tensor: string; readonly index: number; readonly value: number } | undefined;
}

export async function taskVectorStatistics(request: StatisticsRequest): Promise<TaskVectorStatistics> {
  const { input } = request;
  const base = input.kind === 'delta' ? undefined : request.base;
  const builder = createSourceTableBuilder();
  const units: number[] = [];
  const owners: StoredTensor[] = [];
  for (const tensor of input.tensors.values()) {
    if (!isMergeDType(tensor.dtype)) continue;
    const reference = base?.tensors.get(tensor.name);
    const comparable = reference !== undefined && isMergeDType(reference.dtype) ? reference : undefined;
    const source = builder.add(tensor.segments);
    const baseSource = comparable === undefined ? BASE_USE : builder.add(comparable.segments);
    const baseDtype = comparable === undefined ? 0 : DTYPE_CODE[comparable.dtype as keyof typeof DTYPE_CODE];
    const count = elementCount(tensor.shape) ?? 0;
    for (let start = 0; start < count; start += NORM_UNIT_ELEMENTS) {
      units.push(source, DTYPE_CODE[tensor.dtype], baseSource, baseDtype, start, Math.min(NORM_UNIT_ELEMENTS, count - start));
      owners.push(tensor);
    }
  }
  const job: NormsJob = {
    kind: 'norms',
    control: new Int32Array(new SharedArrayBuffer(CONTROL.slots * 4)),
    kernels: await compileKernels(),
    sources: builder.build(),
    units: sharedNumbers(units),
    sums: sharedNumbers(owners.map(() => 0)),
  };
  const pool = startPool(Math.max(1, Math.min(request.threads, owners.length)));
  try {
    const findings = await pool.run(job, { signal: request.signal });
    const found = findings
      .flatMap((finding) => (finding.kind === 'nonFinite' && finding.use !== BASE_USE ? [finding] : []))
      .sort((a, b) => a.unit - b.unit)[0];
    const owner = found === undefined ? undefined : owners[found.unit];
    const normSquaredByTensor = new Map<string, number>();
    owners.forEach((tensor, unit) => {
      normSquaredByTensor.set(tensor.name, (normSquaredByTensor.get(tensor.name) ?? 0) + (job.sums[unit] ?? 0));
    });
    let sum = 0;
    for (const value of normSquaredByTensor.values()) sum += value;
    return {
      normSquaredByTensor,
      norm: Math.sqrt(sum),
      nonFinite: found === undefined || owner === undefined ? undefined : { tensor: owner.name, index: found.element, value: found.value },
    };
  } finally {
    await pool.close();
  }
}
