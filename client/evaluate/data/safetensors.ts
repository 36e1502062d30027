/** A safetensors file as a table of columns: every tensor is one, its first dimension the rows. */
import { open } from 'node:fs/promises';
import { toTributaryError } from '../../../shared/errors/tributary-error.js';
import { readSafetensorsFile } from '../../../shared/formats/safetensors-file.js';
import type { DType } from '../../../shared/formats/tensor.js';
import { decodeElements, type ElementKind, refuseData, type Table } from './column.js';

const KINDS: Readonly<Partial<Record<DType, ElementKind>>> = {
  BOOL: 'bool',
  U8: 'u8',
  I8: 'i8',
  U16: 'u16',
  I16: 'i16',
  U32: 'u32',
  I32: 'i32',
  U64: 'u64',
  I64: 'i64',
  F16: 'f16',
  BF16: 'bf16',
  F32: 'f32',
  F64: 'f64',
};

/** @throws SAFETENSORS_*, PICKLE_REFUSED, UNSUPPORTED_DTYPE, CHECKPOINT_NOT_FOUND, IO_ERROR; DATA_INVALID when a column is read */
export async function openSafetensors(path: string): Promise<Table> {
  const { tensors } = await readSafetensorsFile(path);
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return {
    path,
    names: [...byName.keys()],
    read: async (name) => {
      const tensor = byName.get(name);
      if (tensor === undefined) refuseData(path, `no tensor ${name}`);
      const kind = KINDS[tensor.dtype];
      if (kind === undefined) {
        refuseData(path, `tensor ${name} is not of numbers that can be read`, {
          expected: Object.keys(KINDS).join(', '),
          got: tensor.dtype,
        });
      }
      const bytes = await readRange(path, tensor.offset, tensor.sizeBytes);
      return { name, shape: tensor.shape, values: decodeElements(bytes, kind) };
    },
  };
}

/** @throws DATA_INVALID when the file ends before, IO_ERROR */
export async function readRange(path: string, offset: number, length: number): Promise<Uint8Array> {
  const handle = await open(path, 'r').catch((error: unknown) => Promise.reject(toTributaryError(error, path)));
  try {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) refuseData(path, 'the file became shorter');
      filled += bytesRead;
    }
    return bytes;
  } catch (error) {
    throw toTributaryError(error, path);
  } finally {
    await handle.close();
  }
}
