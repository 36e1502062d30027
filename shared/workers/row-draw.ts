/**
 * DELLA's drop (arXiv 2406.11617): within a row the probability of being kept grows with the rank of the magnitude, from density - epsilon to
 * density + epsilon. Rows are ranked whole, so these vectors come in whole rows.
 */
import { dellaScratchBytes, type VectorFunctions } from '../kernels/block-functions.js';
import type { Kernels } from '../kernels/kernels.js';
import { BLOCK_ELEMENTS, type Stage } from '../merge/program.js';

type Della = Extract<Stage, { kind: 'della' }>;

/** Elements whose masks are drawn at a time: about a block in rows that end at a whole byte of the mask, or one row that is longer than a block. */
export function drawnElements(columns: number): number {
  if (columns > BLOCK_ELEMENTS) return columns;
  let step = columns;
  while (step % 8 !== 0) step *= 2;
  return step * Math.max(1, Math.floor(BLOCK_ELEMENTS / step));
}

export interface RowDraw {
  /** Zeroes what is dropped of one row. @param element index in the tensor of the row's first element */
  draw(v: VectorFunctions, stage: Della, use: number, row: number, element: number, columns: number): void;
  /** Address of the mask bits of `count` elements in whole rows, for a density below 1. Good until the next call. @param element as above */
  mask(v: VectorFunctions, stage: Della, use: number, rows: number, element: number, count: number, columns: number): number;
}

export function createRowDraw(kernels: Kernels): RowDraw {
  const slots = new Map<string, { readonly pointer: number; readonly sizeBytes: number }>();

  function room(name: 'keys' | 'ranks' | 'scratch' | 'bits' | 'row' | 'rowRanks' | 'slab', sizeBytes: number): number {
    const slot = slots.get(name);
    if (slot !== undefined && slot.sizeBytes >= sizeBytes) return slot.pointer;
    const pointer = kernels.reserve(sizeBytes);
    slots.set(name, { pointer, sizeBytes });
    return pointer;
  }

  /** Ranks within each of the rows that are interleaved in a slab of `columns` elements. */
  function interleavedRanks(keys: number, columns: number, rows: number, ranks: number): void {
    const length = columns / rows;
    const one = room('row', length * 4);
    const oneRanks = room('rowRanks', length * 4);
    const scratch = room('scratch', length * 16);
    for (let row = 0; row < rows; row++) {
      const view = kernels.view();
      for (let i = 0; i < length; i++) view.setUint32(one + i * 4, view.getUint32(keys + (i * rows + row) * 4, true), true);
      kernels.run.ranks(one, length, scratch, oneRanks);
      for (let i = 0; i < length; i++) view.setUint32(ranks + (i * rows + row) * 4, view.getUint32(oneRanks + i * 4, true), true);
    }
  }

  /** Probability of rank 0 and what each rank adds. */
  function probabilities({ densities, epsilons }: Della, use: number, columns: number): readonly [low: number, step: number] {
    const density = densities[use] ?? 1;
    const epsilon = columns === 1 ? 0 : (epsilons[use] ?? 0);
    return [density - epsilon, columns === 1 ? 0 : (2 * epsilon) / (columns - 1)];
  }

  const draw: RowDraw['draw'] = (v, stage, use, row, element, columns) => {
    const density = stage.densities[use] ?? 1;
    if (density >= 1) return;
    if (density <= 0) {
      v.scale(row, 0, columns);
      return;
    }
    const keys = room('keys', columns * 4);
    const ranks = room('ranks', columns * 4);
    v.keysOf(row, columns, keys);
    if (stage.interleaved > 1) interleavedRanks(keys, columns, stage.interleaved, ranks);
    else kernels.run.ranks(keys, columns, room('scratch', columns * 16), ranks);
    const length = columns / stage.interleaved;
    const [low, step] = probabilities(stage, use, length);
    const [keyLo, keyHi] = stage.keys[use] ?? [0, 0];
    v.dellaMask(row, ranks, columns, length, low, step, element, keyLo, keyHi, stage.rescale === 'probability' ? 1 : 0);
  };

  return {
    draw,
    mask(v, stage, use, rows, element, count, columns) {
      const sizeBytes = Math.ceil(count / 8);
      const bits = room('bits', sizeBytes);
      if ((stage.densities[use] ?? 1) <= 0) {
        v.clear(bits, sizeBytes);
        return bits;
      }
      if (stage.interleaved > 1) {
        // Kernels work on whole groups of eight: a slab that ends between them is drawn in a place of its own.
        const slab = room('slab', columns * 8);
        for (let at = 0; at < count; at += columns) {
          const from = rows + at * v.sizeBytes;
          const slabBytes = columns * v.sizeBytes;
          v.zero(slab, columns);
          kernels.bytes(slab, slabBytes).set(kernels.bytes(from, slabBytes));
          draw(v, stage, use, slab, element + at, columns);
          kernels.bytes(from, slabBytes).set(kernels.bytes(slab, slabBytes));
        }
        v.maskOf(rows, count, bits);
        return bits;
      }
      const keys = room('keys', count * 4);
      const scratch = room('scratch', dellaScratchBytes(count / columns, columns));
      v.keysOf(rows, count, keys);
      const [low, step] = probabilities(stage, use, columns);
      const [keyLo, keyHi] = stage.keys[use] ?? [0, 0];
      v.dellaBits(keys, count / columns, columns, low, step, element, keyLo, keyHi, scratch, bits);
      return bits;
    },
  };
}
