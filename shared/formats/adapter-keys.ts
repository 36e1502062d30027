/** What the names of an adapter's tensors say: factors of a module, or a tensor of the base in full. */
import { refuseAdapter } from './adapter-config.js';
import { quoteForMessage } from './strict-json.js';

const PREFIX = 'base_model.model.';
/** `.default` (or another adapter's name) stands there in state dicts that were saved as they are. */
const FACTOR = /^(.+)\.lora_(A|B)(?:\.([^.]+))?\.weight$/;
const EMBEDDING_FACTOR = /^(.+)\.lora_embedding_(A|B)(?:\.([^.]+))?$/;
const MAGNITUDE = /\.lora_magnitude_vector(?:\.|$)/;

export interface FactorKey {
  readonly kind: 'factor';
  /** As the base calls it. */
  readonly module: string;
  readonly factor: 'A' | 'B';
  readonly embedding: boolean;
  readonly adapter: string | undefined;
}

export interface FullKey {
  readonly kind: 'full';
  /** As the base calls the tensor; several when the name can be read in several ways, the likeliest first. */
  readonly names: readonly string[];
  /** The tensor stood inside of a layer with factors. */
  readonly wrapped: boolean;
}

/** `original`: what a module in modules_to_save was before; nothing uses it. */
export type AdapterKey = FactorKey | FullKey | { readonly kind: 'original' };

/** A layer with factors keeps the base's own layer under this name. */
const unwrap = (name: string): string => name.replaceAll('.base_layer.', '.').replace(/\.base_layer$/, '');

/** @throws ADAPTER_UNSUPPORTED for parts of variants of LoRA */
export function parseAdapterKey(name: string, where: string): AdapterKey {
  const bare = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
  for (const [pattern, embedding] of [
    [FACTOR, false],
    [EMBEDDING_FACTOR, true],
  ] as const) {
    const [, module, factor, adapter] = pattern.exec(bare) ?? [];
    if (module !== undefined) return { kind: 'factor', module: unwrap(module), factor: factor === 'A' ? 'A' : 'B', embedding, adapter };
  }
  if (MAGNITUDE.test(bare)) return refuseAdapter('ADAPTER_UNSUPPORTED', where, `${quoteForMessage(name)} is a part of DoRA`);
  if (/\.lora_\w+(?:\.|$)/.test(bare))
    return refuseAdapter('ADAPTER_UNSUPPORTED', where, `${quoteForMessage(name)} is a part of a variant of LoRA that is not known here`);
  if (/\.token_adapter\./.test(bare))
    return refuseAdapter('ADAPTER_UNSUPPORTED', where, `${quoteForMessage(name)} replaces single rows of the embeddings`);
  if (/\.original_module\./.test(bare)) return { kind: 'original' };
  const saved = /^(.+)\.modules_to_save\.(?:([^.]+)\.)?([^.]+)$/.exec(bare);
  const wrapped = bare.includes('.base_layer.');
  if (saved === null) return { kind: 'full', names: [unwrap(bare)], wrapped };
  const [, module = '', between, last = ''] = saved;
  const names = between === undefined ? [`${module}.${last}`] : [`${module}.${between}.${last}`, `${module}.${last}`];
  return { kind: 'full', names, wrapped };
}
