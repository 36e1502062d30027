/** Checkpoints of any size, quickly: every chunk differs from every other, and all numbers are finite. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { encodeSafetensorsHeader } from '../../shared/formats/safetensors-header.js';

const MEBI = 1024 * 1024;
/** A tensor of 64 MiB in F32. */
const TENSOR_BYTES = 64 * MEBI;

/** Writes `bytes` (whole MiB) of F32 weights; returns the folder. */
export function writeWeights(folder: string, bytes: number, seed: number): string {
  mkdirSync(folder, { recursive: true });
  const tensors = [];
  for (let start = 0; start < bytes; start += TENSOR_BYTES) {
    const size = Math.min(TENSOR_BYTES, bytes - start);
    tensors.push({ name: `layers.${start / TENSOR_BYTES}.weight`, dtype: 'F32' as const, shape: [size / 4 / 1024, 1024] });
  }
  const block = new Float32Array(MEBI / 4);
  for (let index = 0; index < block.length; index++) block[index] = Math.sin(index * 12.9898 + seed) * 0.05;
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  try {
    writeSync(file, encodeSafetensorsHeader(tensors, new Map()));
    for (let written = 0; written < bytes; written += MEBI) {
      block[0] = seed + written / MEBI / 65_536;
      writeSync(file, block);
    }
  } finally {
    closeSync(file);
  }
  return folder;
}
