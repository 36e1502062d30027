/** Llama-shaped bf16 checkpoints, the same bytes every time, kept in the system's temporary folder between runs. */
import { closeSync, existsSync, linkSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeSafetensorsHeader, tensorSizeBytes } from '../../shared/formats/safetensors-header.js';
import type { DType, TensorInfo } from '../../shared/formats/tensor.js';

interface LlamaShape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly layers: number;
}

/** `scale` 1 is 0.33 GB of BF16, 4 is 1.3 GB (four times the layers and the vocabulary). */
export function llamaShape(scale: number): LlamaShape {
  return { hidden: 1024, intermediate: 2816, vocabulary: Math.round(32_000 * scale), layers: Math.max(1, Math.round(9 * scale)) };
}

export function llamaTensors({ hidden, intermediate, vocabulary, layers }: LlamaShape, dtype: DType = 'BF16'): TensorInfo[] {
  const tensors: TensorInfo[] = [];
  const add = (name: string, ...shape: number[]): void => {
    tensors.push({ name, dtype, shape });
  };
  add('model.embed_tokens.weight', vocabulary, hidden);
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`;
    add(`${prefix}.input_layernorm.weight`, hidden);
    for (const [name, out] of [
      ['q', hidden],
      ['k', hidden / 4],
      ['v', hidden / 4],
      ['o', hidden],
    ] as const)
      add(`${prefix}.self_attn.${name}_proj.weight`, out, hidden);
    add(`${prefix}.post_attention_layernorm.weight`, hidden);
    add(`${prefix}.mlp.gate_proj.weight`, intermediate, hidden);
    add(`${prefix}.mlp.up_proj.weight`, intermediate, hidden);
    add(`${prefix}.mlp.down_proj.weight`, hidden, intermediate);
  }
  add('model.norm.weight', hidden);
  add('lm_head.weight', vocabulary, hidden);
  return tensors;
}

/** Numbers as weights have them: uniform in +-0.05, another sequence for each seed. */
function noise(seed: number): Uint8Array {
  const values = new Float32Array(4_194_301);
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  for (let index = 0; index < values.length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    values[index] = (state / 2 ** 32 - 0.5) * 0.1;
  }
  const words = new Uint32Array(values.buffer);
  const bytes = new Uint8Array(words.length * 2);
  const halves = new Uint16Array(bytes.buffer);
  for (let index = 0; index < words.length; index++) halves[index] = (words[index] ?? 0) >>> 16;
  return bytes;
}

function writeModel(path: string, tensors: readonly TensorInfo[], seed: number): void {
  const file = openSync(`${path}.part`, 'w');
  writeSync(file, encodeSafetensorsHeader(tensors, new Map([['format', 'pt']])));
  const block = noise(seed);
  let left = tensors.reduce((sum, tensor) => sum + tensorSizeBytes(tensor), 0);
  while (left > 0) left -= writeSync(file, block, 0, Math.min(left, block.length));
  closeSync(file);
  renameSync(`${path}.part`, path);
}

export interface SyntheticSet {
  readonly folder: string;
  readonly base: string;
  /** `count` folders. */
  readonly models: readonly string[];
}

/** @param distinct files that really differ; the others are links to these (for memory, where only the number counts) */
export function syntheticCheckpoints(scale: number, count: number, distinct = count): SyntheticSet {
  const folder = join(tmpdir(), `tributary-bench-${scale}x`);
  const tensors = llamaTensors(llamaShape(scale));
  const names = ['base', ...Array.from({ length: count }, (_, index) => `m${index + 1}`)];
  names.forEach((name, index) => {
    const path = join(folder, name, 'model.safetensors');
    if (existsSync(path)) return;
    mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, 'config.json'), '{"model_type": "llama", "torch_dtype": "bfloat16"}\n');
    const original = index > distinct ? join(folder, `m${((index - 1) % distinct) + 1}`, 'model.safetensors') : undefined;
    if (original === undefined) writeModel(path, tensors, index);
    else linkSync(original, path);
  });
  return { folder, base: join(folder, 'base'), models: names.slice(1).map((name) => join(folder, name)) };
}

export function removeSyntheticCheckpoints(scale: number): void {
  rmSync(join(tmpdir(), `tributary-bench-${scale}x`), { recursive: true, force: true });
}
