/**
 * Makes a LoRA adapter as PEFT reads it, of the changes of a model's weights. Changes of matrices become factors with scale 1, each of a rank of
 * its own; what else changes is kept whole, refused or left out (adapter-contents.ts). What was written is read once more before it is given out.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError } from '../errors/tributary-error.js';
import { expandAdapter, openAdapter } from '../formats/adapter.js';
import { ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE } from '../formats/adapter-files.js';
import { tensorSizeBytes } from '../formats/safetensors-header.js';
import type { StoredTensor } from '../formats/tensor.js';
import { type AdapterContents, adapterContents, type LeftOut, type WeightContent } from './adapter-contents.js';
import { type PlacedTensor, writeAdapterFile } from './adapter-file.js';
import type { AdapterEnvironment, AdapterRequest } from './adapter-request.js';
import { factorTensors, wholeName } from './factor-slots.js';
import { factorWeights } from './factor-stage.js';
import { peftConfigText } from './peft-config.js';
import { modulesOf } from './whole-modules.js';
import { makeWholeWeights } from './whole-weights.js';

export interface FactoredWeight {
  readonly tensor: string;
  readonly rank: number;
  /** Frobenius norm of the change, and of what its factors as they are stored are off by. */
  readonly norm: number;
  readonly residualNorm: number;
}

export interface BuiltAdapter {
  readonly weights: readonly FactoredWeight[];
  readonly modulesToSave: readonly string[];
  readonly biases: readonly string[];
  readonly left: readonly LeftOut[];
  /** Of the weights file. */
  readonly sizeBytes: number;
}

interface MadeWeight extends FactoredWeight {
  readonly content: WeightContent;
  readonly path: string;
}

async function makeFactors(
  { base, size, dtype }: AdapterRequest,
  { workDir, engine, threads, signal, onProgress }: AdapterEnvironment,
  contents: AdapterContents,
): Promise<MadeWeight[]> {
  const planned = contents.weights.map((content, index) => {
    const tensor = base.tensors.get(content.name) as StoredTensor;
    return { content, base: tensor, source: content.source, slot: content.slot, path: join(workDir, `factors-${index}`) };
  });
  let done = 0;
  const made = await factorWeights({
    weights: planned,
    baseName: base.name,
    size,
    dtype,
    engine: engine.choice,
    threads,
    signal,
    onDone: () => onProgress((done += 1), planned.length),
  });
  return planned.flatMap(({ content, path }, index): MadeWeight[] => {
    const factored = made[index];
    return factored === undefined ? [] : [{ ...factored, content, path, tensor: content.name }];
  });
}

function placeFactors({ base, dtype }: AdapterRequest, made: readonly MadeWeight[]): PlacedTensor[] {
  return made.flatMap(({ content, rank, path }): PlacedTensor[] => {
    const shape = base.tensors.get(content.name)?.shape ?? [];
    const [a, b] = factorTensors(content.slot, shape, rank, dtype);
    const [aBytes, bBytes] = [tensorSizeBytes(a), tensorSizeBytes(b)];
    return [
      { info: a, segments: [{ path, offset: 0, length: aBytes }] },
      { info: b, segments: [{ path, offset: aBytes, length: bBytes }] },
    ];
  });
}

function biasMode(biases: readonly string[], isFactored: (module: string) => boolean): 'none' | 'lora_only' | 'all' {
  if (biases.length === 0) return 'none';
  return biases.every((name) => isFactored(name.slice(0, name.lastIndexOf('.')))) ? 'lora_only' : 'all';
}

/**
 * Writes adapter_config.json and adapter_model.safetensors.
 * @throws ADAPTER_INVALID when nothing changes that has factors; ADAPTER_UNSUPPORTED, NON_FINITE, LINALG_FAILED, INTERRUPTED, DISK_FULL, IO_ERROR
 */
export async function buildAdapter(request: AdapterRequest, environment: AdapterEnvironment): Promise<BuiltAdapter> {
  const { base, where } = request;
  const { outputDir, signal } = environment;
  const contents = await adapterContents(request, environment);
  const made = await makeFactors(request, environment, contents);
  const kept = made.filter(({ rank }) => rank > 0);
  if (kept.length === 0)
    throw new TributaryError('ADAPTER_INVALID', {
      what: 'no matrix changes: there is nothing that an adapter could have factors of',
      where,
      expected: `weights that differ from ${base.name}`,
      fix: contents.whole.modules.length + contents.biases.length > 0 ? 'Make a whole model of it.' : undefined,
    });
  const factored = new Set(kept.map(({ content }) => content.slot.module));
  const isFactored = (module: string): boolean => factored.has(module);
  const whole = await makeWholeWeights(request, environment, [...contents.whole.tensors, ...contents.biases]);
  const placed = [
    ...placeFactors(request, kept),
    ...whole.map(({ name, dtype, shape, segments }) => ({ info: { name: wholeName(name, isFactored), dtype, shape }, segments })),
  ];
  const sizeBytes = await writeAdapterFile(join(outputDir, ADAPTER_WEIGHTS_FILE), placed, signal);
  const config = peftConfigText({
    factors: kept.map(({ content, rank }) => ({ slot: content.slot, rank })),
    modules: modulesOf(base.tensors.keys()),
    modulesToSave: contents.whole.modules,
    bias: biasMode(contents.biases, isFactored),
    baseName: request.baseName,
    taskType: request.taskType,
  });
  await writeFile(join(outputDir, ADAPTER_CONFIG_FILE), config);
  expandAdapter(await openAdapter(outputDir), base);
  return {
    weights: made.map(({ tensor, rank, norm, residualNorm }) => ({ tensor, rank, norm, residualNorm })),
    modulesToSave: contents.whole.modules,
    biases: contents.biases,
    left: contents.left,
    sizeBytes,
  };
}
