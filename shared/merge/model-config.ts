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

/** The text with `torch_dtype` (or `dtype`) naming what is stored; the very same text when it did already, or is no JSON. */
export function withStoredDtype(configText: string, dtype: DType): string {
  const config = parse(configText);
  if (config === undefined || !setDtype(config, torchDtypeName(dtype))) return configText;
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
