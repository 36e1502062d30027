import { readFileSync } from 'node:fs';
import { readSafetensorsFile } from '../../shared/formats/safetensors-file.js';
import type { TestTensor } from './write-checkpoint.js';

/** All tensors of a safetensors file, bytes and all. */
export async function tensorsOf(path: string): Promise<TestTensor[]> {
  const { tensors } = await readSafetensorsFile(path);
  const bytes = readFileSync(path);
  return tensors.map(({ name, dtype, shape, offset, sizeBytes }) => ({
    name,
    dtype,
    shape,
    bytes: bytes.subarray(offset, offset + sizeBytes),
  }));
}
