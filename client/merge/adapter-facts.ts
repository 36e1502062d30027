/** What the adapters among the inputs of a merge agree on, for an adapter that is made of them. */
import type { AdapterFacts } from '../../shared/adapters/merge-adapter.js';
import type { Adapter } from '../../shared/formats/adapter.js';
import { parseAdapterKey } from '../../shared/formats/adapter-keys.js';
import { parseJsonValue } from '../../shared/formats/json-value.js';
import { isMergeDType } from '../../shared/formats/tensor.js';
import type { OpenedModels } from './open-models.js';

function taskTypeOf({ configBytes }: Adapter): string | undefined {
  const config = parseJsonValue(new TextDecoder().decode(configBytes));
  const type = config instanceof Map ? config.get('task_type') : undefined;
  return typeof type === 'string' ? type : undefined;
}

/** The one value of all, if there is one. */
function common<T>(values: readonly T[]): T | undefined {
  const [first] = values;
  return values.every((value) => value === first) ? first : undefined;
}

const factorDTypes = ({ tensors, name }: Adapter) =>
  [...tensors.values()].flatMap((tensor) => (parseAdapterKey(tensor.name, name).kind === 'factor' ? [tensor.dtype] : []));

export function adapterFacts({ base, inputs, models }: OpenedModels): AdapterFacts {
  const adapters = inputs.flatMap(({ name }) => models.get(name)?.adapter ?? []);
  const dtype = common(adapters.flatMap(factorDTypes));
  return {
    fanInFanOut: adapters.some(({ config }) => config.fanInFanOut),
    dtype: dtype !== undefined && isMergeDType(dtype) ? dtype : undefined,
    baseName: common(adapters.map(({ config }) => config.baseName)) ?? base?.name,
    taskType: common(adapters.map(taskTypeOf)),
  };
}
