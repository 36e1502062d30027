/** Checkpoints made up from a seed: the same seed always gives the same bytes. Sizes are chosen to meet every way chunks are cut. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DType } from '../../shared/formats/tensor.js';
import { safetensorsBytes, type TestTensor } from './write-checkpoint.js';

interface Spec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** 29 MB: whole chunks, short last chunks, chunks kept as rows, the border between the two, BF16 and integers. */
export const MANY_CHUNKS: readonly Spec[] = [
  { name: 'embed.weight', dtype: 'F32', shape: [1500, 1024] },
  { name: 'layers.0.mlp.weight', dtype: 'BF16', shape: [1100, 2048] },
  { name: 'layers.0.norm.weight', dtype: 'F32', shape: [1024] },
  { name: 'layers.1.mlp.weight', dtype: 'F32', shape: [3, 1024, 1024] },
  { name: 'layers.1.bias', dtype: 'F32', shape: [16_383] },
  { name: 'layers.1.gate', dtype: 'F32', shape: [16_384] },
  { name: 'frozen.weight', dtype: 'F32', shape: [1024, 1025] },
  { name: 'positions', dtype: 'I64', shape: [128] },
  { name: 'scalar', dtype: 'F32', shape: [] },
];

/** 11 MB, with one of each kind. */
export const FEW_CHUNKS: readonly Spec[] = MANY_CHUNKS.filter(({ name }) => !/layers.1.mlp|frozen/.test(name));

/** 130 kB: for tests that are not about bytes. */
export const TINY: readonly Spec[] = [
  { name: 'a.weight', dtype: 'F32', shape: [128, 128] },
  { name: 'b.weight', dtype: 'F32', shape: [100, 160] },
  { name: 'b.bias', dtype: 'F32', shape: [160] },
  { name: 'positions', dtype: 'I64', shape: [16] },
];

/** Numbers in [0, 1) from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function makeBase(seed: number, specs: readonly Spec[] = MANY_CHUNKS): TestTensor[] {
  const random = randomFrom(seed);
  return specs.map(({ name, dtype, shape }) => {
    const count = countOf(shape);
    if (dtype === 'I64') return { name, dtype, shape, bytes: bytesOf(BigInt64Array.from({ length: count }, (_, index) => BigInt(index))) };
    return {
      name,
      dtype,
      shape,
      bytes: encodeFloats(
        dtype,
        fill(count, () => random() - 0.5),
      ),
    };
  });
}

/** Every floating-point tensor moved a little, but for those whose name begins with `frozen`. */
export function fineTune(base: readonly TestTensor[], seed: number): TestTensor[] {
  const random = randomFrom(seed);
  return base.map((tensor) => {
    if (tensor.dtype === 'I64' || tensor.name.startsWith('frozen')) return tensor;
    const old = decodeFloats(tensor);
    const values = fill(old.length, (index) => (old[index] as number) + (random() - 0.5) * 0.1);
    return { ...tensor, bytes: encodeFloats(tensor.dtype, values) };
  });
}

/** The task vector itself, as F32; integers and frozen tensors are zero. */
export function makeDelta(base: readonly TestTensor[], seed: number): TestTensor[] {
  const random = randomFrom(seed);
  return base.map((tensor) => {
    if (tensor.dtype === 'I64') return { ...tensor, bytes: new Uint8Array(tensor.bytes.length) };
    const scale = tensor.name.startsWith('frozen') ? 0 : 0.1;
    const values = fill(countOf(tensor.shape), () => (random() - 0.5) * scale);
    return { ...tensor, dtype: 'F32' as const, bytes: encodeFloats('F32', values) };
  });
}

export function decodeFloats(tensor: TestTensor): Float32Array {
  const { buffer, byteOffset, length } = Uint8Array.from(tensor.bytes);
  if (tensor.dtype === 'F32') return new Float32Array(buffer, byteOffset, length / 4);
  const halves = new Uint16Array(buffer, byteOffset, length / 2);
  const words = new Uint32Array(halves.length);
  for (let index = 0; index < halves.length; index++) words[index] = (halves[index] as number) << 16;
  return new Float32Array(words.buffer);
}

/** BF16 is cut off, not rounded: any representable numbers will do. */
function encodeFloats(dtype: DType, values: Float32Array): Uint8Array {
  if (dtype === 'F32') return bytesOf(values);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(words.length);
  for (let index = 0; index < words.length; index++) halves[index] = (words[index] as number) >>> 16;
  return bytesOf(halves);
}

/** Float32Array.from with a callback takes twenty times as long. */
function fill(count: number, valueAt: (index: number) => number): Float32Array {
  const values = new Float32Array(count);
  for (let index = 0; index < count; index++) values[index] = valueAt(index);
  return values;
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Writes one file; returns the folder. */
export function writeSingle(folder: string, tensors: readonly TestTensor[], metadata: Readonly<Record<string, string>> = {}): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(tensors, new Map(Object.entries(metadata))));
  writeFileSync(join(folder, 'config.json'), '{"model_type": "synthetic"}\n');
  return folder;
}

/** Writes the tensors dealt out to `shards` files, with the index Hugging Face writes; returns the folder. */
export function writeSharded(folder: string, tensors: readonly TestTensor[], shards: number): string {
  mkdirSync(folder, { recursive: true });
  const weightMap: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const own = tensors.filter((_, index) => index % shards === shard);
    const name = `model-${pad(shard + 1)}-of-${pad(shards)}.safetensors`;
    writeFileSync(join(folder, name), safetensorsBytes(own));
    for (const tensor of own) weightMap[tensor.name] = name;
  }
  const totalSize = tensors.reduce((sum, tensor) => sum + tensor.bytes.length, 0);
  writeFileSync(
    join(folder, 'model.safetensors.index.json'),
    JSON.stringify({ metadata: { total_size: totalSize }, weight_map: weightMap }),
  );
  return folder;
}

function pad(number: number): string {
  return `${number}`.padStart(5, '0');
}
