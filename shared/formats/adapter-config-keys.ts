/** Keys of PEFT's LoraConfig, by what they do to the weights. */
import type { JsonValue } from './json-value.js';

/** Of training, loading or bookkeeping: whatever they say, the difference to the base is scale x B x A. */
export const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'auto_mapping',
  'inference_mode',
  'lora_dropout',
  'merge_weights',
  'peft_version',
  'revision',
  'runtime_config',
  'task_type',
  // How A and B began; where the base was changed for it, init_lora_weights says so.
  'corda_config',
  'eva_config',
  'loftq_config',
  'lora_ga_config',
  // Read only beside a key that is refused.
  'megatron_core',
  'qalora_group_size',
  // Modules that are tied are in the file under each of their names.
  'ensure_weight_tying',
]);

/** Why an adapter with such a key is more, or less, than a product of two matrices. */
export const REFUSED_KEYS: ReadonlyMap<string, string> = new Map([
  ['use_dora', 'DoRA scales the columns of base and product together'],
  ['lora_bias', 'B has a bias, which belongs to no weight of the base'],
  ['layer_replication', 'the adapted model has other layers than the base'],
  ['megatron_config', 'layers of Megatron are split among devices'],
  ['alora_invocation_tokens', 'the adapter works behind certain tokens only, so there are no weights that it amounts to'],
  ['arrow_config', 'adapters are mixed token by token'],
  ['trainable_token_indices', 'single rows of the embeddings are replaced'],
  ['target_parameters', 'several experts share the factors of one parameter'],
  ['use_qalora', 'inputs are averaged in groups in front of A'],
  ['use_bdlora', 'factors are block-diagonal'],
  ['kasa_config', 'a part of the base is cut off'],
  ['velora_config', 'the file holds more than factors'],
  ['monteclora_config', 'factors are drawn at random'],
  ['enable_lora', 'parts of a layer that was put together have factors of their own'],
]);

/** They choose A and B and leave the base as it is. */
const INIT_OF_FACTORS: ReadonlySet<string> = new Set(['gaussian', 'eva', 'orthogonal', 'mica']);
const MOVED = 'a part of the base was moved into the adapter before the training, so B x A is no difference to the base as it was';
const CONVERT =
  'Save it with `save_pretrained(..., path_initial_model_for_weight_conversion=...)`, which makes an ordinary LoRA adapter of it.';
/** Prefixes: `pissa_niter_16`. */
const INIT_OF_BASE: readonly [prefix: string, reason: string, fix?: string][] = [
  ['pissa', MOVED, CONVERT],
  ['olora', MOVED, CONVERT],
  ['corda', MOVED, CONVERT],
  ['lora_ga', MOVED, CONVERT],
  ['loftq', 'the base was quantized together with the adapter'],
];

/** Why an adapter that began like this cannot be added to the base; undefined when it can. A converted adapter says `true`. */
export function refusalOfInit(init: JsonValue | undefined): { readonly reason: string; readonly fix?: string | undefined } | undefined {
  if (init === undefined || init === null || typeof init === 'boolean') return undefined;
  if (typeof init !== 'string') return { reason: 'no way to begin that is known here' };
  const name = init.toLowerCase();
  if (INIT_OF_FACTORS.has(name)) return undefined;
  const [, reason, fix] = INIT_OF_BASE.find(([prefix]) => name.startsWith(prefix)) ?? [];
  return { reason: reason ?? 'whether it changed the base is not known here', fix };
}
