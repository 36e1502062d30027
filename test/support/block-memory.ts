/** Vectors, words and masks in and out of the kernels' memory, for tests of one precision. */
import { vectorFunctions } from '../../shared/kernels/block-functions.js';
import type { Kernels } from '../../shared/kernels/kernels.js';

export function blockMemory(kernels: Kernels, precision: 32 | 64) {
  const width = precision / 8;
  /** Room and, behind it, what a kernel must not take for data. */
  const reserve = (sizeBytes: number) => {
    const pointer = kernels.reserve(sizeBytes);
    kernels.bytes(pointer, sizeBytes + 64).fill(0xab);
    return pointer;
  };
  return {
    precision,
    run: vectorFunctions(kernels.run, precision),
    round: precision === 32 ? Math.fround : (value: number) => value,
    reserve,
    /** A vector with zeros behind its last element, as loads leave them. */
    put: (values: readonly number[]): number => {
      const pointer = reserve(values.length * width + 64);
      kernels.bytes(pointer, values.length * width + 64).fill(0);
      const view = kernels.view();
      values.forEach((value, index) =>
        precision === 32 ? view.setFloat32(pointer + index * 4, value, true) : view.setFloat64(pointer + index * 8, value, true),
      );
      return pointer;
    },
    get: (pointer: number, count: number): number[] => {
      const view = kernels.view();
      return Array.from({ length: count }, (_, index) =>
        precision === 32 ? view.getFloat32(pointer + index * 4, true) : view.getFloat64(pointer + index * 8, true),
      );
    },
    putWords: (words: readonly number[]): number => {
      const pointer = reserve(words.length * 4);
      const view = kernels.view();
      words.forEach((word, index) => {
        view.setUint32(pointer + index * 4, word, true);
      });
      return pointer;
    },
    getWords: (pointer: number, count: number): number[] => {
      const view = kernels.view();
      return Array.from({ length: count }, (_, index) => view.getUint32(pointer + index * 4, true));
    },
    putDoubles: (values: readonly number[]): number => {
      const pointer = reserve(values.length * 8);
      const view = kernels.view();
      values.forEach((value, index) => {
        view.setFloat64(pointer + index * 8, value, true);
      });
      return pointer;
    },
    /** Bits of a mask, padding bits of the last byte included. */
    getBits: (pointer: number, count: number): number[] => {
      const bytes = kernels.bytes(pointer, Math.ceil(count / 8));
      return Array.from({ length: bytes.length * 8 }, (_, index) => ((bytes[index >> 3] ?? 0) >> (index & 7)) & 1);
    },
  };
}
