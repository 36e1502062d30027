import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeSafetensorsHeader } from '../../shared/formats/safetensors-header.js';
import type { DType } from '../../shared/formats/tensor.js';

export interface TestTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export function f32Tensor(name: string, values: readonly number[], shape: readonly number[] = [values.length]): TestTensor {
  return { name, dtype: 'F32', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

export function safetensorsBytes(tensors: readonly TestTensor[], metadata: ReadonlyMap<string, string> = new Map()): Buffer {
  return Buffer.concat([encodeSafetensorsHeader(tensors, metadata), ...tensors.map((tensor) => tensor.bytes)]);
}

/** Writes a folder with model.safetensors and the given further files; returns its path. */
export function writeCheckpoint(folder: string, tensors: readonly TestTensor[], files: Readonly<Record<string, string>> = {}): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(tensors));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}
