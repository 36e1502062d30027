/**
 * What an adapter does to each tensor of its base, from its configuration and the names and shapes in its file alone: nothing is read. PEFT's
 * conventions: weight += scale x B x A, transposed where weights are (in, out) and in embeddings; biases and modules_to_save replace the base's.
 */
import { TributaryError } from '../errors/tributary-error.js';
import { type AdapterConfig, refuseAdapter } from './adapter-config.js';
import { type FactorKey, parseAdapterKey } from './adapter-keys.js';
import { scalesOf } from './adapter-scales.js';
import { mayBeFull, requireChosen } from './adapter-targets.js';
import { fitFactors } from './factor-shapes.js';
import { elementCount } from './safetensors-header.js';
import { quoteForMessage } from './strict-json.js';
import { isMergeDType, type Product, type TensorInfo } from './tensor.js';

type Tensors = ReadonlyMap<string, TensorInfo>;

/** Factors and tensors are names in the adapter's file. */
export type AdapterPart =
  | ({ readonly kind: 'product'; readonly left: string; readonly right: string } & Pick<Product, 'rank' | 'scale' | 'transposed'>)
  | { readonly kind: 'full'; readonly from: string };

export interface AdapterParts {
  /** By names of the base's tensors; all others are the base's own. */
  readonly parts: ReadonlyMap<string, AdapterPart>;
  /** Tensors of the base that the file repeats beside their factors, with their names in the file: they must be the base's. */
  readonly repeated: ReadonlyMap<string, string>;
}

export interface AdapterContent {
  readonly config: AdapterConfig;
  /** As in the adapter's file. */
  readonly tensors: Tensors;
  /** The adapter's folder or contributor, for errors. */
  readonly where: string;
}

export interface AdapterBase {
  readonly name: string;
  readonly tensors: Tensors;
}

interface Factors {
  readonly module: string;
  readonly embedding: boolean;
  A?: string;
  B?: string;
}

interface Sorted {
  readonly factors: ReadonlyMap<string, Factors>;
  readonly full: readonly { readonly from: string; readonly names: readonly string[]; readonly wrapped: boolean }[];
}

function sortKeys({ tensors, where }: AdapterContent): Sorted {
  const factors = new Map<string, Factors>();
  const full: Sorted['full'][number][] = [];
  let named: FactorKey | undefined;
  for (const from of tensors.keys()) {
    const key = parseAdapterKey(from, where);
    if (key.kind === 'original') continue;
    if (key.kind === 'full') {
      full.push({ from, names: key.names, wrapped: key.wrapped });
      continue;
    }
    named ??= key;
    if (named.adapter !== key.adapter)
      refuseAdapter('ADAPTER_INVALID', where, 'the file holds several adapters', {
        expected: 'one',
        got: `${named.adapter ?? 'one without a name'} and ${key.adapter ?? 'one without a name'}`,
        fix: 'Save one adapter a folder.',
      });
    const pair: Factors = factors.get(key.module) ?? { module: key.module, embedding: key.embedding };
    if (pair[key.factor] !== undefined || pair.embedding !== key.embedding)
      refuseAdapter('ADAPTER_INVALID', where, `${key.module} has more than two factors`, { got: from });
    pair[key.factor] = from;
    factors.set(key.module, pair);
  }
  if (factors.size === 0 && full.length === 0) refuseAdapter('ADAPTER_INVALID', where, 'the adapter changes nothing: its file is empty');
  return { factors, full };
}

/** The weight that a module's factors belong to. */
function weightOf(module: string, base: AdapterBase, where: string): string {
  if (base.tensors.has(`${module}.weight`)) return `${module}.weight`;
  if (!base.tensors.has(`${module}.in_proj_weight`)) return refuseAbsent(where, `${module}.weight`, base);
  return refuseAdapter('ADAPTER_UNSUPPORTED', where, `${module} is torch's MultiheadAttention`, {
    expected: 'projections that are modules of their own',
    fix: 'Versions of PEFT add the product of its output projection once or twice: merge the adapter with the version that trained it.',
  });
}

function refuseAbsent(where: string, name: string, base: AdapterBase): never {
  const [some = ''] = base.tensors.keys();
  return refuseAdapter('ADAPTER_INVALID', where, `${name} is not in the base`, {
    expected: `names as in ${base.name}, such as ${some}`,
    got: name,
    fix: 'Give the base that the adapter was trained on; a head that is tied to the embeddings has no tensor of its own.',
  });
}

function productsOf(content: AdapterContent, base: AdapterBase, factors: Sorted['factors']): Map<string, AdapterPart> {
  const { config, tensors, where } = content;
  const pairs = [...factors.values()].map(({ module, embedding, A, B }) => {
    const name = weightOf(module, base, where);
    if (A === undefined || B === undefined)
      return refuseAdapter('ADAPTER_INVALID', where, `${module} has but one factor`, {
        expected: 'lora_A and lora_B',
        got: A ?? B ?? '',
        fix: 'The file is incomplete: save the adapter again.',
      });
    return { name, module, embedding, A, B };
  });
  const modules = pairs.map(({ module }) => module);
  requireChosen(config, modules, where);
  const scales = scalesOf(config, modules, where);
  const orientation = {
    config: config.fanInFanOut,
    contradictedBy: undefined as string | undefined,
    square: undefined as string | undefined,
  };
  const parts = new Map<string, AdapterPart>();
  pairs.forEach(({ name, module, embedding, A, B }, index) => {
    const [left, right, weight] = [tensors.get(B), tensors.get(A), base.tensors.get(name)];
    const { rank = 0, scale = 0 } = scales[index] ?? {};
    if (left === undefined || right === undefined || weight === undefined) return;
    const fit = fitFactors({ left, right, weight, rank, embedding, fanInFanOut: config.fanInFanOut, module, where });
    if (fit.square && !embedding) orientation.square ??= module;
    if (!fit.square && !embedding && fit.matrix && fit.transposed !== config.fanInFanOut) orientation.contradictedBy ??= module;
    parts.set(name, { kind: 'product', left: B, right: A, rank, scale, transposed: fit.transposed });
  });
  if (orientation.contradictedBy !== undefined && orientation.square !== undefined)
    refuseAdapter('ADAPTER_INVALID', where, `whether the weight of ${orientation.square} is (in, out) or (out, in) is unclear`, {
      expected: `fan_in_fan_out: ${String(!config.fanInFanOut)}, as the shape of ${orientation.contradictedBy} shows`,
      got: `fan_in_fan_out: ${String(config.fanInFanOut)}`,
      fix: 'Modules of both kinds are adapted and PEFT keeps the kind of the last one: merge the adapter into its base with PEFT.',
    });
  return parts;
}

function requireSame(content: AdapterContent, base: AdapterBase, name: string, from: string): void {
  const [tensor, wanted] = [content.tensors.get(from), base.tensors.get(name)];
  if (tensor === undefined || wanted === undefined) return;
  const { where } = content;
  if (tensor.shape.join() !== wanted.shape.join())
    refuseAdapter('ADAPTER_INVALID', where, `${from} has another shape than in the base`, {
      expected: `[${wanted.shape.join(', ')}], as ${base.name}: ${name}`,
      got: `[${tensor.shape.join(', ')}]`,
      fix: 'Give the base that the adapter was trained on; an enlarged vocabulary needs an enlarged base.',
    });
  if (tensor.dtype === wanted.dtype || (isMergeDType(tensor.dtype) && isMergeDType(wanted.dtype))) return;
  throw new TributaryError('UNSUPPORTED_DTYPE', {
    what: `${from} has a dtype that does not go with the base's`,
    where,
    expected: wanted.dtype,
    got: tensor.dtype,
  });
}

/**
 * @throws ADAPTER_INVALID when configuration, file and base contradict each other, ADAPTER_UNSUPPORTED when the file holds more than factors and
 * whole tensors, UNSUPPORTED_DTYPE
 */
export function adapterParts(content: AdapterContent, base: AdapterBase): AdapterParts {
  const { config, where, tensors } = content;
  for (const [name, { shape }] of tensors)
    if (elementCount(shape) === 0)
      refuseAdapter('ADAPTER_INVALID', where, `${quoteForMessage(name)} is empty`, { fix: 'Save the adapter again.' });
  const { factors, full } = sortKeys(content);
  const parts = productsOf(content, base, factors);
  const repeated = new Map<string, string>();
  for (const { from, names, wrapped } of full) {
    const [likely = from] = names;
    const name = names.find((one) => base.tensors.has(one)) ?? refuseAbsent(where, likely, base);
    const isFactored = parts.get(name)?.kind === 'product';
    if (!(isFactored && wrapped) && !mayBeFull(config, name, (module) => factors.has(module), where))
      refuseAdapter('ADAPTER_INVALID', where, `${from} is in the file, but nothing in the configuration says so`, {
        expected: 'factors, members of modules_to_save, and biases where bias is all or lora_only',
        got: from,
      });
    requireSame(content, base, name, from);
    if (isFactored) repeated.set(name, from);
    else parts.set(name, { kind: 'full', from });
  }
  return { parts, repeated };
}
