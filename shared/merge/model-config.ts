/** The parts of config.json that a merge has to read or to set right. */
import type { DType } from '../formats/tensor.js';
import { torchDtypeName } from './model-card.js';

type JsonObject = Record<string, unknown>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parse(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** `num_hidden_layers`, of the language model where there are several; undefined when it is not said. */
export function numHiddenLayersOf(configText: string): number | undefined {
  const config = parse(configText);
  for (const scope of [config, config?.['text_config']]) {
    if (!isObject(scope)) continue;
    const layers = scope['num_hidden_layers'] ?? scope['n_layer'];
    if (typeof layers === 'number' && Number.isSafeInteger(layers) && layers > 0) return layers;
  }
  return undefined;
}

/** What an adapter of such a model has to know. @param configText undefined: nothing is known */
export function adapterTraitsOf(configText: string | undefined): {
  readonly modelType: string | undefined;
  readonly taskType: string | undefined;
} {
  const config = configText === undefined ? undefined : parse(configText);
  const architectures = config?.['architectures'];
  const [architecture] = Array.isArray(architectures) ? (architectures as readonly unknown[]) : [];
  const name = typeof architecture === 'string' ? architecture : '';
  const modelType = config?.['model_type'];
  return {
    modelType: typeof modelType === 'string' ? modelType : undefined,
    taskType: /(?:ForCausalLM|GPT2LMHeadModel)$/.test(name) ? 'CAUSAL_LM' : undefined,
  };
}

function setDtype(config: JsonObject, name: string): boolean {
  let changed = false;
  for (const key of ['torch_dtype', 'dtype']) {
    if (typeof config[key] === 'string' && config[key] !== name) {
      config[key] = name;
      changed = true;
    }
  }
  for (const [key, value] of Object.entries(config))
    if (key.endsWith('_config') && key !== 'quantization_config' && isObject(value) && setDtype(value, name)) changed = true;
  return changed;
}

/** How the configuration of the output differs from that of the model it is taken from. */
export interface ConfigChanges {
  /** Storage dtype of all merged tensors. */
  readonly dtype?: DType | undefined;
  /** For each layer of the output, the layer of the configured model that stands there. */
  readonly layersFrom?: readonly number[] | undefined;
  /** Rows of the embeddings. */
  readonly vocabularyRows?: number | undefined;
}

const LAYER_COUNTS = ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'];

/** Counts of layers, and lists with an entry a layer (`layer_types`), of the scope that counts the layers. */
function setLayers(config: JsonObject, layersFrom: readonly number[]): boolean {
  const counts = LAYER_COUNTS.filter((key) => typeof config[key] === 'number');
  const [first] = counts;
  if (first === undefined) {
    const text = config['text_config'];
    return isObject(text) && setLayers(text, layersFrom);
  }
  const before = config[first];
  for (const key of counts) config[key] = layersFrom.length;
  for (const [key, value] of Object.entries(config))
    if (Array.isArray(value) && value.length === before && key.includes('layer'))
      config[key] = layersFrom.map((layer): unknown => value[layer] ?? value.at(-1));
  return true;
}

function setVocabulary(config: JsonObject, rows: number): boolean {
  let changed = false;
  for (const scope of [config, config['text_config']]) {
    if (!isObject(scope) || typeof scope['vocab_size'] !== 'number' || scope['vocab_size'] === rows) continue;
    scope['vocab_size'] = rows;
    changed = true;
  }
  return changed;
}

/** The very same text when there is nothing to change, or it is no JSON. */
export function withChanges(configText: string, { dtype, layersFrom, vocabularyRows }: ConfigChanges): string {
  const config = parse(configText);
  if (config === undefined) return configText;
  const changes = [
    dtype !== undefined && setDtype(config, torchDtypeName(dtype)),
    layersFrom !== undefined && setLayers(config, layersFrom),
    vocabularyRows !== undefined && setVocabulary(config, vocabularyRows),
  ];
  return changes.includes(true) ? `${JSON.stringify(config, undefined, 2)}\n` : configText;
}

/** `torch_dtype` (or `dtype`) names what is stored. */
export function withStoredDtype(configText: string, dtype: DType): string {
  return withChanges(configText, { dtype });
}
