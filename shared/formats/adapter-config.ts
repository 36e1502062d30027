/**
 * adapter_config.json of a PEFT LoRA adapter, read strictly: what it says of the weights is kept, what cannot change them is left out, and
 * everything else is refused with the reason. Format: https://huggingface.co/docs/peft/developer_guides/checkpoint and LoraConfig.
 */
import type { ErrorCode } from '../errors/catalogue.js';
import { TributaryError } from '../errors/tributary-error.js';
import { REFUSED_KEYS, refusalOfInit, WITHOUT_EFFECT } from './adapter-config-keys.js';
import { type JsonValue, parseJsonValue } from './json-value.js';
import { quoteForMessage, StrictJsonError } from './strict-json.js';

/** Configurations have some kilobytes; those with a rank for each of tens of thousands of experts, megabytes. */
export const MAX_ADAPTER_CONFIG_BYTES = 16 * 1024 * 1024;

/** Ranks and matrices of ranks go through 32-bit arithmetic of places. */
const MAX_RANK = 65_536;

/** Names that module names end with, or one regular expression for the whole of them. */
export type ModuleChoice = string | readonly string[];

/** A pattern of module names and what holds for the modules it matches; the first that matches counts. */
export type ModulePattern = readonly [pattern: string, value: number];

export interface AdapterConfig {
  readonly rank: number;
  readonly alpha: number;
  /** Scale is alpha / sqrt(rank), not alpha / rank (rsLoRA). */
  readonly rankStabilized: boolean;
  readonly rankPattern: readonly ModulePattern[];
  readonly alphaPattern: readonly ModulePattern[];
  /** Weights are (in, out). PEFT goes by the kind of module, so this decides for square ones only. */
  readonly fanInFanOut: boolean;
  readonly bias: 'none' | 'all' | 'lora_only';
  /** Ends of names of modules that are in the file whole. */
  readonly modulesToSave: readonly string[];
  /** Undefined: PEFT's choice for the architecture. */
  readonly targets?: ModuleChoice | undefined;
  readonly excluded?: ModuleChoice | undefined;
  /** Numbers of the layers; undefined: all. */
  readonly layers?: readonly number[] | undefined;
  /** How the stack of layers is called; empty: whatever holds the first number. */
  readonly layersPattern: readonly string[];
  /** For information only: a name on the trainer's machine or on the Hub. */
  readonly baseName?: string | undefined;
}

export function refuseAdapter(
  code: ErrorCode,
  where: string,
  what: string,
  details: { expected?: string; got?: string; fix?: string } = {},
): never {
  throw new TributaryError(code, { what, where, ...details });
}

/** Null, false, 0, and empty texts, lists and mappings: what says nothing. */
function isEmpty(value: JsonValue | undefined): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return true;
  return Array.isArray(value) ? value.length === 0 : value instanceof Map && value.size === 0;
}

export function describeJson(value: JsonValue | undefined): string {
  if (value instanceof Map) return 'a mapping';
  return quoteForMessage(JSON.stringify(value) ?? 'nothing').slice(1, -1);
}

type Read<T> = (key: string, value: JsonValue) => T;

/** Readers of single values; `absent` is the value of a key that is not there. */
function reader(entries: ReadonlyMap<string, JsonValue>, where: string) {
  const invalid = (key: string, value: JsonValue | undefined, expected: string): never =>
    refuseAdapter('ADAPTER_INVALID', where, `${key} has an unusable value`, { expected, got: describeJson(value) });
  const strings: Read<readonly string[]> = (key, value) =>
    Array.isArray(value) && value.every((one) => typeof one === 'string')
      ? (value as readonly string[])
      : invalid(key, value, 'a list of texts');
  const finite: Read<number> = (key, value) =>
    typeof value === 'number' && Number.isFinite(value) ? value : invalid(key, value, 'a number');
  const rank: Read<number> = (key, value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_RANK
      ? value
      : invalid(key, value, `a whole number from 1 to ${MAX_RANK}`);
  const pattern =
    (of: Read<number>): Read<readonly ModulePattern[]> =>
    (key, value) =>
      value instanceof Map
        ? [...value].map(([name, one]): ModulePattern => [name, of(`${key}.${name}`, one as JsonValue)])
        : invalid(key, value, 'a mapping from module names to numbers');
  const get = <T>(key: string, read: Read<T>, absent: T): T => {
    const value = entries.get(key);
    return value === undefined || value === null ? absent : read(key, value);
  };
  return {
    invalid,
    get,
    strings,
    finite,
    rank,
    pattern,
    flag: ((key, value) => (typeof value === 'boolean' ? value : invalid(key, value, 'true or false'))) satisfies Read<boolean>,
    choice: ((key, value) => (typeof value === 'string' ? value : strings(key, value))) satisfies Read<ModuleChoice>,
    list: ((key, value) => (typeof value === 'string' ? [value] : strings(key, value))) satisfies Read<readonly string[]>,
    layers: ((key, value) => {
      const all = Array.isArray(value) ? value : [value];
      return all.every((one) => Number.isInteger(one)) ? (all as readonly number[]) : invalid(key, value, 'numbers of layers');
    }) satisfies Read<readonly number[]>,
  };
}

function parseEntries(text: string, where: string): ReadonlyMap<string, JsonValue> {
  let value: JsonValue;
  try {
    value = parseJsonValue(text);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    return refuseAdapter('ADAPTER_INVALID', where, `the configuration is not valid JSON: ${error.message}`);
  }
  if (value instanceof Map) return value;
  return refuseAdapter('ADAPTER_INVALID', where, 'the configuration is no JSON object', { got: describeJson(value) });
}

function refuseWhatChangesMore(entries: ReadonlyMap<string, JsonValue>, known: ReadonlySet<string>, where: string): void {
  const init = entries.get('init_lora_weights');
  const why = refusalOfInit(init);
  if (why !== undefined)
    refuseAdapter(
      'ADAPTER_UNSUPPORTED',
      where,
      `init_lora_weights: ${describeJson(init)}: ${why.reason}`,
      why.fix === undefined ? {} : { fix: why.fix },
    );
  for (const [key, value] of entries) {
    if (known.has(key) || WITHOUT_EFFECT.has(key) || key === 'init_lora_weights' || isEmpty(value)) continue;
    const reason = REFUSED_KEYS.get(key);
    if (reason !== undefined) refuseAdapter('ADAPTER_UNSUPPORTED', where, `${key}: ${reason}`, { got: describeJson(value) });
    refuseAdapter('ADAPTER_UNSUPPORTED', where, `${quoteForMessage(key)} is not known here, nor what it does to the weights`, {
      got: describeJson(value),
      fix: 'Merge the adapter into its base with the tool that made it, and give that model.',
    });
  }
}

const KNOWN = new Set([
  'peft_type',
  'r',
  'lora_alpha',
  'use_rslora',
  'rank_pattern',
  'alpha_pattern',
  'fan_in_fan_out',
  'bias',
  'modules_to_save',
  'target_modules',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
  'base_model_name_or_path',
]);

/** @throws ADAPTER_INVALID when it cannot be read, ADAPTER_UNSUPPORTED when it asks for more than products of two matrices */
export function parseAdapterConfig(text: string, where: string): AdapterConfig {
  const entries = parseEntries(text, where);
  const { get, rank, finite, flag, pattern, strings, choice, list, layers, invalid } = reader(entries, where);
  const type = entries.get('peft_type');
  if (type !== 'LORA')
    refuseAdapter(typeof type === 'string' ? 'ADAPTER_UNSUPPORTED' : 'ADAPTER_INVALID', where, 'only LoRA adapters can be merged', {
      expected: 'peft_type: LORA',
      got: describeJson(type),
      fix: 'Merge the adapter into its base with PEFT (`merge_and_unload`) where that is possible, and give that model.',
    });
  refuseWhatChangesMore(entries, KNOWN, where);
  const bias = get<JsonValue>('bias', (_, value) => value, 'none');
  const choices = get<ModuleChoice | undefined>('target_modules', choice, undefined);
  const wanted = get<readonly number[] | undefined>('layers_to_transform', layers, undefined);
  return {
    rank: rank('r', entries.get('r') ?? null),
    alpha: finite('lora_alpha', entries.get('lora_alpha') ?? null),
    rankStabilized: get('use_rslora', flag, false),
    rankPattern: get('rank_pattern', pattern(rank), []),
    alphaPattern: get('alpha_pattern', pattern(finite), []),
    fanInFanOut: get('fan_in_fan_out', flag, false),
    bias: bias === 'none' || bias === 'all' || bias === 'lora_only' ? bias : invalid('bias', bias, 'none, all or lora_only'),
    modulesToSave: get('modules_to_save', strings, []),
    targets: typeof choices === 'string' && choices.toLowerCase() === 'all-linear' ? undefined : choices,
    excluded: get<ModuleChoice | undefined>('exclude_modules', choice, undefined),
    layers: wanted !== undefined && wanted.length > 0 ? wanted : undefined,
    layersPattern: get('layers_pattern', list, []),
    baseName: get<string | undefined>('base_model_name_or_path', (_, value) => (typeof value === 'string' ? value : undefined), undefined),
  };
}
