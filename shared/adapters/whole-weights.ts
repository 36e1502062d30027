/** Weights that an adapter keeps whole: base plus change, rounded once, as a merged model would hold them. */
import { join } from 'node:path';
import { TributaryError } from '../errors/tributary-error.js';
import { readSafetensorsFile } from '../formats/safetensors-file.js';
import { isMergeDType, type Segment } from '../formats/tensor.js';
import { onlyBase, planSum } from '../merge/plan-sum.js';
import { runMerge } from '../merge/run-merge.js';
import { layOutShards, type UnplacedTensor } from '../merge/shards.js';
import { totalsOf } from '../merge/totals.js';
import type { MergePlan } from '../merge/types.js';
import type { AdapterEnvironment, AdapterRequest } from './adapter-request.js';
import type { VectorSources } from './vector-source.js';

export interface WholeWeight {
  readonly name: string;
  readonly dtype: UnplacedTensor['dtype'];
  readonly shape: readonly number[];
  readonly segments: readonly Segment[];
}

function planWhole({ base, wholeDtype }: AdapterRequest, names: readonly string[], vector: VectorSources): MergePlan {
  const models: string[] = [];
  const unplaced = names.map((name): UnplacedTensor => {
    const from = base.tensors.get(name);
    if (from === undefined) throw new TributaryError('INTERNAL', { what: 'a whole weight is not in the base', where: name });
    const { shape } = from;
    if (!isMergeDType(from.dtype)) return { name, shape, dtype: from.dtype, action: 'copy', ...onlyBase(from) };
    const dtype = wholeDtype ?? from.dtype;
    const source = vector.get(name);
    if (source === undefined) return { name, shape, dtype, action: 'merge', ...onlyBase(from) };
    if (source.kind === 'products') throw new TributaryError('INTERNAL', { what: 'a sum of products was to be written out', where: name });
    const input = models.push(source.model) - 1;
    const terms = [{ input, tensor: source.tensor, full: !source.difference, coefficient: 1 }];
    const sum = planSum({ of: 'task_vectors', terms, base: from, normalize: false, lambda: 1 }, dtype, name);
    return { name, shape, dtype, action: 'merge', ...sum };
  });
  const layout = layOutShards(unplaced, Infinity);
  return { inputNames: models, baseName: base.name, ...layout, warnings: [], totals: totalsOf({ ...layout, model: undefined }) };
}

/** @throws what a merge throws */
export async function makeWholeWeights(
  request: AdapterRequest,
  environment: AdapterEnvironment,
  names: readonly string[],
): Promise<WholeWeight[]> {
  if (names.length === 0) return [];
  const products = names.filter((name) => request.vector.get(name)?.kind === 'products');
  const stored = products.length === 0 ? request.vector : new Map([...request.vector, ...(await request.store(products))]);
  const plan = planWhole(request, names, stored);
  const { pool, signal } = environment;
  const outputDir = join(environment.workDir, 'whole');
  await runMerge(plan, { outputDir, pool, durable: false, signal });
  const [shard] = plan.shards;
  const { path, tensors } = await readSafetensorsFile(join(outputDir, shard?.fileName ?? ''));
  return tensors.map(({ name, dtype, shape, offset, sizeBytes }) => ({
    name,
    dtype,
    shape,
    segments: [{ path, offset, length: sizeBytes }],
  }));
}
