/** The masks of all tasks for one tile, as they go into the file beside the weights: which elements of the merged vector each task keeps. */
import type { Kernels } from '../kernels/kernels.js';
import { BLOCK_ELEMENTS, type TaskMask } from '../merge/program.js';
import type { TensorTask } from './program-job.js';
import type { Vectors } from './vectors.js';

export interface MaskMaker {
  /** Mask bits of a vector beside the merged one, in the kernels' memory: up to a block. */
  make(rule: TaskMask, vector: number, merged: number, count: number): number;
}

export function createMaskMaker(kernels: Kernels, vectors: Vectors): MaskMaker {
  let bits = 0;
  return {
    make(rule, vector, merged, count) {
      if (bits === 0) bits = kernels.reserve(BLOCK_ELEMENTS / 8);
      if (rule.kind === 'agree') vectors.v.agreeMask(vector, merged, count, bits);
      else vectors.v.maskBeyond(vector, merged, count, rule.threshold, bits);
      return bits;
    },
  };
}

export interface TileMasks {
  /** Begins a tile of `count` elements. */
  open(task: TensorTask, count: number): void;
  /** Takes the loaded vectors and what they were merged to: elements [at, at + count) of the tile. */
  take(at: number, count: number, merged: number): void;
  /** The bytes of each input's mask. */
  readonly masks: readonly Uint8Array[];
}

export function createTileMasks(kernels: Kernels, vectors: Vectors): TileMasks {
  const maker = createMaskMaker(kernels, vectors);
  let rule: TaskMask | undefined;
  let masks: Uint8Array[] = [];

  /** Bits may begin within a byte: rows have any length. */
  function copy(from: Uint8Array, count: number, to: Uint8Array, at: number): void {
    if (at % 8 === 0) {
      to.set(from, at / 8);
      return;
    }
    for (let i = 0; i < count; i++) {
      if ((((from[i >> 3] ?? 0) >> (i & 7)) & 1) === 0) continue;
      to[(at + i) >> 3] = (to[(at + i) >> 3] ?? 0) | (1 << ((at + i) & 7));
    }
  }

  return {
    get masks() {
      return masks;
    },
    open({ program, uses }, count) {
      rule = program.taskMask;
      masks = rule === undefined ? [] : uses.map(() => new Uint8Array(Math.ceil(count / 8)));
    },
    take(at, count, merged) {
      if (rule === undefined) return;
      for (let done = 0; done < count; done += BLOCK_ELEMENTS) {
        const size = Math.min(BLOCK_ELEMENTS, count - done);
        const shift = done * vectors.v.sizeBytes;
        for (const [use, pointer] of vectors.pointers.entries()) {
          const bits = maker.make(rule, pointer + shift, merged + shift, size);
          const mask = masks[use];
          if (mask !== undefined) copy(kernels.bytes(bits, Math.ceil(size / 8)), size, mask, at + done);
        }
      }
    },
  };
}
