/** The last pass over a tensor that has a program: one tile from the inputs' bytes to the output's. */
import type { Kernels } from '../kernels/kernels.js';
import { BLOCK_ELEMENTS } from '../merge/program.js';
import { stepElementsOf } from '../merge/program-tiling.js';
import { createCombiner } from './combine.js';
import type { ProgramStatistics, TensorTask } from './program-job.js';
import type { SourceReader } from './source-reader.js';
import { createTileMasks } from './task-masks.js';
import { createVectors, type NonFiniteInput, widthOf } from './vectors.js';

export type ProgramTile =
  | { readonly kind: 'written' }
  | { readonly kind: 'nonFinite'; readonly input: NonFiniteInput }
  | { readonly kind: 'overflow'; readonly element: number };

export interface ProgramTiles {
  /** Computes elements [start, start + count) into the kernels' memory at `out`. */
  run(task: TensorTask, tileElements: number, start: number, count: number, out: number): ProgramTile;
  /** Of the last tile: the mask of each input, for rules with one model for each task. */
  readonly masks: readonly Uint8Array[];
}

export function createProgramTiles(kernels: Kernels, reader: SourceReader, statistics: ProgramStatistics): ProgramTiles {
  const vectors = createVectors(kernels, reader, statistics);
  const combiner = createCombiner(kernels, vectors, statistics);
  const tileMasks = createTileMasks(kernels, vectors);
  let open: TensorTask | undefined;

  return {
    get masks() {
      return tileMasks.masks;
    },
    run(task, tileElements, start, count, out) {
      const { program, outDtype } = task;
      const step = stepElementsOf(program);
      if (task !== open) {
        open = task;
        vectors.open(task, tileElements, step);
        combiner.open(task, step);
      }
      const bad = vectors.read(start, count, true);
      if (bad !== undefined) return { kind: 'nonFinite', input: bad };
      tileMasks.open(task, count);
      const width = widthOf(outDtype);
      const lane = program.precision / 8;
      for (let at = 0; at < count; at += step) {
        const size = Math.min(step, count - at);
        vectors.load(at, size, program.stages.length);
        combiner.combine(size);
        tileMasks.take(at, size, combiner.result);
        for (let done = 0; done < size; done += BLOCK_ELEMENTS) {
          const to = out + (at + done) * width;
          const some = Math.min(BLOCK_ELEMENTS, size - done);
          const { result } = combiner;
          // mergekit adds zeros to the base like any other number, which takes the sign off a zero.
          if (program.quirks && program.plusBase) vectors.addZeros(done * lane, some);
          const overflowed = vectors.v.finish(
            result + done * lane,
            vectors.base + done * lane,
            program.plusBase ? 1 : 0,
            program.lambda,
            program.rounding,
            to,
            outDtype,
            some,
          );
          if (overflowed !== 0)
            return { kind: 'overflow', element: start + at + done + Math.max(0, kernels.run.firstNonFinite(to, outDtype, some)) };
        }
      }
      return { kind: 'written' };
    },
  };
}
