/** Settles what goes into an adapter how, before anything is factored: factors, whole modules, biases, and what is left out. */

import { TributaryError } from '../errors/tributary-error.js';
import type { StoredTensor } from '../formats/tensor.js';
import { nonFiniteError } from '../merge/findings.js';
import { taskVectorStatistics } from '../merge/task-vector-statistics.js';
import type { AdapterEnvironment, AdapterRequest } from './adapter-request.js';
import { type Slot, slotOf } from './factor-slots.js';
import type { VectorSource } from './vector-source.js';
import { placeOfRest, type WholeModules, wholeModules } from './whole-modules.js';

export interface WeightContent {
  readonly name: string;
  readonly slot: Slot;
  readonly source: VectorSource;
}

export interface LeftOut {
  readonly tensor: string;
  /** Of its change (Frobenius); NaN where that is not known. */
  readonly norm: number;
}

export interface AdapterContents {
  readonly weights: readonly WeightContent[];
  readonly whole: WholeModules;
  /** Names of tensors. */
  readonly biases: readonly string[];
  readonly left: readonly LeftOut[];
}

const LISTED = 8;

/** Those of the tensors that do change, with the norms of their changes. @throws NON_FINITE */
async function changesOf(names: readonly string[], request: AdapterRequest, environment: AdapterEnvironment): Promise<LeftOut[]> {
  const { base, vector } = request;
  const stored = { delta: new Map<string, StoredTensor>(), full: new Map<string, StoredTensor>() };
  const changes = new Map<string, number>();
  let model = '';
  for (const name of names) {
    const source = vector.get(name);
    if (source?.kind === 'products') changes.set(name, Number.NaN);
    if (source?.kind !== 'stored') continue;
    model = source.model;
    stored[source.difference ? 'delta' : 'full'].set(name, { ...source.tensor, name });
  }
  for (const kind of ['delta', 'full'] as const) {
    const tensors = stored[kind];
    if (tensors.size === 0) continue;
    const { threads, signal } = environment;
    const found = await taskVectorStatistics({ base, input: { name: model, kind, tensors }, threads, signal });
    if (found.nonFinite !== undefined) {
      const { tensor, index, value } = found.nonFinite;
      throw nonFiniteError(model, tensor, index, value);
    }
    for (const [name, squared] of found.normSquaredByTensor) if (squared > 0) changes.set(name, Math.sqrt(squared));
  }
  return names.flatMap((tensor) => {
    const norm = changes.get(tensor);
    return norm === undefined ? [] : [{ tensor, norm }];
  });
}

function refuseRest({ where, fixRest }: AdapterRequest, names: readonly string[]): never {
  const more = names.length > LISTED ? `, and ${names.length - LISTED} more` : '';
  throw new TributaryError('ADAPTER_UNSUPPORTED', {
    what: `${names.length} tensor${names.length === 1 ? ' changes' : 's change'} that an adapter has no factors for`,
    where,
    got: `${names.slice(0, LISTED).join(', ')}${more}`,
    fix: fixRest(names),
  });
}

/** @throws ADAPTER_UNSUPPORTED for tensors that must not be left out and cannot be in an adapter, NON_FINITE */
export async function adapterContents(request: AdapterRequest, environment: AdapterEnvironment): Promise<AdapterContents> {
  const { base, vector, hints, fanInFanOut, mayFactor, rest } = request;
  const names = [...base.tensors.keys()];
  const slots = new Map<string, Slot>();
  for (const [name] of vector) {
    const tensor = base.tensors.get(name);
    const slot = tensor === undefined || !mayFactor(tensor) ? undefined : slotOf(tensor, hints.get(name), fanInFanOut);
    if (slot !== undefined) slots.set(name, slot);
  }
  let whole = wholeModules(request.modulesToSave, names);
  const others = [...vector.keys()].filter((name) => !slots.has(name) && !whole.tensors.has(name));
  const changed = await changesOf(others, request, environment);
  const biases: string[] = [];
  const modules: string[] = [];
  const left: LeftOut[] = [];
  const refused: string[] = [];
  for (const change of changed) {
    const place = placeOfRest(change.tensor, (name) => base.tensors.get(name)?.shape.length);
    if (place.kind === 'bias') biases.push(change.tensor);
    else if (rest === 'leave') left.push(change);
    else if (rest === 'save' && place.kind === 'module') modules.push(place.module);
    else refused.push(change.tensor);
  }
  if (refused.length > 0) refuseRest(request, refused);
  if (modules.length > 0) whole = wholeModules([...request.modulesToSave, ...modules], names);
  const isWhole = (name: string): boolean => whole.tensors.has(name);
  const weights = [...slots].flatMap(([name, slot]): WeightContent[] => {
    const source = vector.get(name);
    return source === undefined || isWhole(name) ? [] : [{ name, slot, source }];
  });
  return {
    weights,
    whole,
    biases: biases.filter((name) => !isWhole(name)),
    left: left.filter(({ tensor }) => !isWhole(tensor)),
  };
}
