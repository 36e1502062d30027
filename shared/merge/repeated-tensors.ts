/** Adapters that repeat tensors of their base (embeddings beside their factors): what they repeat has to be what the base holds. */
import { TributaryError } from '../errors/tributary-error.js';
import { type AdapterWeights, repeatedTensors } from '../formats/adapter.js';
import { type StatisticsRequest, taskVectorStatistics } from './task-vector-statistics.js';
import type { MergeBase } from './types.js';

/** Reads them, if there are any. @throws ADAPTER_INVALID when they differ, and what expandAdapter and taskVectorStatistics throw */
export async function requireRepeated(
  adapter: AdapterWeights,
  base: MergeBase,
  options: Pick<StatisticsRequest, 'threads' | 'signal'>,
): Promise<void> {
  const tensors = repeatedTensors(adapter, base);
  if (tensors.size === 0) return;
  const { normSquaredByTensor } = await taskVectorStatistics({ base, input: { name: adapter.name, kind: 'full', tensors }, ...options });
  for (const [name, squared] of normSquaredByTensor) {
    if (squared === 0) continue;
    throw new TributaryError('ADAPTER_INVALID', {
      what: `the adapter comes with weights of ${name} that are not the base's`,
      where: adapter.name,
      expected: `the weights of ${base.name}`,
      got: 'other weights',
      fix: 'Give the base that the adapter was trained on.',
    });
  }
}
