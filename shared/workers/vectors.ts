/**
 * The vectors of one tensor, block by block, in the memory of the kernels: reads a tile's bytes, widens them, takes the base away and applies the
 * stages of a program. What the statistics passes look at and what the last pass combines comes from here, so both see the same numbers.
 */

import { DTYPE_BYTES } from '../formats/tensor.js';
import { NO_LOWER_BOUND, type VectorFunctions, vectorFunctions } from '../kernels/block-functions.js';
import { type Kernels, VALUE_MODE } from '../kernels/kernels.js';
import { BLOCK_ELEMENTS, type Stage, UNIT_ELEMENTS } from '../merge/program.js';
import { roundTo } from '../merge/rounding.js';
import { weighImportance } from './importance.js';
import { numberIndex, type ProgramStatistics, STATISTIC, type TaskUse, type TensorTask } from './program-job.js';
import { BASE_USE } from './protocol.js';
import { createRowDraw } from './row-draw.js';
import type { SourceReader } from './source-reader.js';

const WIDTHS = [DTYPE_BYTES.F32, DTYPE_BYTES.F16, DTYPE_BYTES.BF16] as const;
export const widthOf = (dtype: number): number => WIDTHS[dtype] ?? 4;

export interface NonFiniteInput {
  /** BASE_USE for the base. */
  readonly use: number;
  readonly element: number;
  readonly value: number;
}

export interface Vectors {
  /** The kernels in the precision of the current task. */
  readonly v: VectorFunctions;
  /** One vector an input; addresses stay the same while a task is open. */
  readonly pointers: readonly number[];
  /** Address of a u32[] of `pointers` in the kernels' memory. */
  readonly pointerList: number;
  /** Vector of the base; only loaded when the task has one. */
  readonly base: number;
  /** Room for one more vector. */
  readonly spare: number;
  /** Makes room for a task: `tile` elements are read, `capacity` elements (a block, or a row) loaded at a time. */
  open(task: TensorTask, tile: number, capacity: number): void;
  /** Reads elements [start, start + count) of base and inputs; with `checks`, finds NaN and infinity in them. */
  read(start: number, count: number, checks: boolean): NonFiniteInput | undefined;
  /** Loads elements [at, at + count) of what was read and applies the first `stages` stages. In ascending order within a tile. */
  load(at: number, count: number, stages: number): void;
  /** Applies one more stage to what was loaded last. */
  applyStage(stage: number, at: number, count: number): void;
  /** base + 0 for the base's numbers from byte `shift` on. */
  addZeros(shift: number, count: number): void;
  /** A number as the task's arithmetic holds it. */
  roundNumber(value: number): number;
  /** Sum of magnitudes of a vector that may be longer than a block. */
  sumAbs(vector: number, count: number): number;
  /** Sets the bits of a mask in the kernels' memory, which has zeros behind its last one, from bit `bit` of `bits` at byte `first` on. */
  storeMask(mask: number, count: number, bits: Uint8Array, first: number, bit: number): void;
}

export function createVectors(kernels: Kernels, reader: SourceReader, statistics: ProgramStatistics): Vectors {
  const { run } = kernels;
  const sets = { 32: vectorFunctions(run, 32), 64: vectorFunctions(run, 64) } as const;
  const raw: number[] = [];
  let rawBytes = 0;
  const vectors: number[] = [];
  let vectorBytes = 0;
  const wide = kernels.reserve(32);
  const rowDraw = createRowDraw(kernels);
  let maskBits = 0;
  let tieState = 0;
  let tieStateEntries = 0;
  let pointerList = 0;
  let pointerListEntries = 0;
  let task: TensorTask | undefined;
  let tileStart = 0;
  let v = sets[32];
  let pointers: number[] = [];

  /** Slots only grow: the last of a job that needs less leaves them. */
  function grow(slots: number[], count: number, have: number, bytes: number): number {
    if (bytes > have) slots.length = 0;
    const size = Math.max(bytes, have);
    while (slots.length < count) slots.push(kernels.reserve(size));
    return size;
  }

  const current = (): TensorTask => {
    if (task === undefined) throw new Error('no task is open');
    return task;
  };
  const numberOf = (stage: number, use: number, field: number): number =>
    statistics.numbers[numberIndex(current(), stage, use, field)] ?? 0;

  function keepBand(stage: number, use: number, vector: number, count: number): void {
    v.keepBand(
      vector,
      count,
      numberOf(stage, use, STATISTIC.low),
      numberOf(stage, use, STATISTIC.lowFrom),
      numberOf(stage, use, STATISTIC.lowTo),
      numberOf(stage, use, STATISTIC.high),
      numberOf(stage, use, STATISTIC.highTo),
      tieState + (stage * current().uses.length + use) * 8,
    );
  }

  function rescale(stage: number, use: number, vector: number, count: number): void {
    const factor = numberOf(stage, use, STATISTIC.factor);
    if (factor === 1) return;
    v.scale(vector, factor, count);
    v.round(vector, current().program.rounding, count);
  }

  function applyBits(vector: number, first: number, count: number): void {
    const bytes = Math.ceil(count / 8);
    kernels.bytes(maskBits, bytes).set(statistics.bits.subarray(first, first + bytes));
    v.applyMask(vector, count, maskBits);
  }

  /**
   * @param element index in the tensor of the first element
   * @param shift bytes from the start of the vectors
   */
  function apply(stage: Stage, index: number, element: number, shift: number, count: number): void {
    const { program, uses, count: all, bitsAt } = current();
    if (stage.kind === 'variance') {
      v.variance(pointerList, uses.length, spareOf(), count);
      keepBand(index, 0, spareOf(), count);
      v.maskOf(spareOf(), count, maskBits);
      for (const pointer of pointers) v.applyMask(pointer, count, maskBits);
      return;
    }
    if (stage.kind === 'importance') {
      const vector = (pointers[0] ?? 0) + shift;
      if (numberOf(index, 0, STATISTIC.low) === NO_LOWER_BOUND) return;
      weighImportance(v, statistics, current(), vector, spareOf(), element, count);
      keepBand(index, 0, spareOf(), count);
      v.maskOf(spareOf(), count, maskBits);
      v.applyMask(vector, count, maskBits);
      return;
    }
    for (const [use, pointer] of pointers.entries()) {
      const vector = pointer + shift;
      if (stage.kind === 'band') {
        if (stage.bands[use] === undefined) continue;
        keepBand(index, use, vector, count);
        rescale(index, use, vector, count);
        continue;
      }
      if (stage.kind === 'scale') {
        v.scale(vector, stage.factors[use] ?? 1, count);
        continue;
      }
      if (stage.kind === 'mask') {
        applyBits(vector, bitsAt + use * Math.ceil(all / 8) + element / 8, count);
        continue;
      }
      const density = stage.densities[use] ?? 1;
      if (density >= 1) continue;
      if (stage.kind === 'drop') {
        const [low, high] = stage.keys[use] ?? [0, 0];
        v.drop(vector, count, element, low, high, density * 2 ** 32);
        if (stage.rescale === 'probability') v.scale(vector, 1 / density, count);
        v.round(vector, program.rounding, count);
      } else {
        applyBits(vector, bitsAt + use * Math.ceil(all / 8) + element / 8, count);
      }
      rescale(index, use, vector, count);
    }
  }

  const spareOf = (): number => vectors[pointers.length + 1] ?? 0;

  function applyStage(index: number, at: number, count: number): void {
    const { program } = current();
    const stage = program.stages[index];
    if (stage === undefined) return;
    if (stage.kind === 'della' && stage.rescale === 'probability') {
      pointers.forEach((pointer, use) => rowDraw.draw(v, stage, use, pointer, tileStart + at, count));
      return;
    }
    for (let done = 0; done < count; done += BLOCK_ELEMENTS)
      apply(stage, index, tileStart + at + done, (done * program.precision) / 8, Math.min(BLOCK_ELEMENTS, count - done));
  }

  function loadUse(use: TaskUse, slot: number, pointer: number, shift: number, at: number, count: number): void {
    const { program } = current();
    const from = slot + at * widthOf(use.dtype);
    const cast = program.cast ?? program.rounding;
    const castsFirst = cast !== 0 && use.dtype !== cast;
    if (use.mode === VALUE_MODE.plusBase) v.loadSum(from, use.dtype, baseOf() + shift, pointer, count);
    else if (use.mode === VALUE_MODE.minusBase && !castsFirst) v.loadDelta(from, use.dtype, baseOf() + shift, pointer, count);
    else {
      v.load(from, use.dtype, pointer, count);
      if (castsFirst) v.round(pointer, cast, count);
      if (use.mode === VALUE_MODE.minusBase) v.subtract(pointer, baseOf() + shift, count);
    }
    v.round(pointer, program.rounding, count);
  }

  const baseOf = (): number => vectors[pointers.length] ?? 0;

  return {
    get v() {
      return v;
    },
    get pointers() {
      return pointers;
    },
    get pointerList() {
      return pointerList;
    },
    get base() {
      return baseOf();
    },
    get spare() {
      return spareOf();
    },
    open(next, tile, capacity) {
      task = next;
      v = sets[next.program.precision];
      const { uses, program } = next;
      const room = Math.max(BLOCK_ELEMENTS, capacity);
      rawBytes = grow(raw, uses.length + 1, rawBytes, Math.max(UNIT_ELEMENTS, tile) * 4);
      vectorBytes = grow(vectors, uses.length + 2, vectorBytes, room * 8);
      if (maskBits === 0) maskBits = kernels.reserve(BLOCK_ELEMENTS / 8);
      const states = program.stages.length * uses.length;
      if (states > tieStateEntries) {
        tieState = kernels.reserve(states * 8);
        tieStateEntries = states;
      }
      if (uses.length > pointerListEntries) {
        pointerList = kernels.reserve(uses.length * 4);
        pointerListEntries = uses.length;
      }
      pointers = vectors.slice(0, uses.length);
      const view = kernels.view();
      pointers.forEach((pointer, index) => view.setUint32(pointerList + index * 4, pointer, true));
    },
    read(start, count, checks) {
      const { uses, base, program, tiesAt, count: all } = current();
      tileStart = start;
      const sources = base === undefined ? uses : [...uses, base];
      for (const [index, { source, dtype }] of sources.entries()) {
        const width = widthOf(dtype);
        const slot = raw[index] ?? 0;
        reader.read(source, start * width, kernels.bytes(slot, count * width));
        const bad = checks ? run.firstNonFinite(slot, dtype, count) : -1;
        if (bad < 0) continue;
        run.widen(slot + bad * width, dtype, wide, 1);
        return { use: index < uses.length ? index : BASE_USE, element: start + bad, value: kernels.view().getFloat32(wide, true) };
      }
      const units = Math.ceil(all / UNIT_ELEMENTS);
      const unit = Math.floor(start / UNIT_ELEMENTS);
      const view = kernels.view();
      for (let one = 0; one < program.stages.length * uses.length; one++) {
        const from = tiesAt + (one * units + unit) * 2;
        view.setUint32(tieState + one * 8, tiesAt < 0 ? 0 : (statistics.ties[from] ?? 0), true);
        view.setUint32(tieState + one * 8 + 4, tiesAt < 0 ? 0 : (statistics.ties[from + 1] ?? 0), true);
      }
      return undefined;
    },
    load(at, count, stages) {
      const { uses, base, program } = current();
      const lane = program.precision / 8;
      for (let done = 0; done < count; done += BLOCK_ELEMENTS) {
        const size = Math.min(BLOCK_ELEMENTS, count - done);
        const shift = done * lane;
        if (base !== undefined) {
          v.load((raw[uses.length] ?? 0) + (at + done) * widthOf(base.dtype), base.dtype, baseOf() + shift, size);
          const cast = program.cast ?? program.rounding;
          if (base.dtype !== cast) v.round(baseOf() + shift, cast, size);
        }
        uses.forEach((use, index) => loadUse(use, raw[index] ?? 0, (pointers[index] ?? 0) + shift, shift, at + done, size));
      }
      for (let stage = 0; stage < stages; stage++) applyStage(stage, at, count);
    },
    applyStage,
    addZeros(shift, count) {
      v.zero(spareOf(), count);
      v.add(baseOf() + shift, spareOf(), count);
    },
    roundNumber: (value) => roundTo(current().program.rounding, value),
    sumAbs(vector, count) {
      let sum = 0;
      for (let done = 0; done < count; done += BLOCK_ELEMENTS)
        sum += v.sumAbs(vector + done * (current().program.precision / 8), Math.min(BLOCK_ELEMENTS, count - done));
      return sum;
    },
    storeMask(mask, count, bits, first, bit) {
      const own = kernels.bytes(mask, Math.ceil(count / 8));
      if (bit % 8 === 0) {
        bits.set(own, first + bit / 8);
        return;
      }
      for (let i = 0; i < count; i++) {
        if ((((own[i >> 3] ?? 0) >> (i & 7)) & 1) === 0) continue;
        const at = first + Math.floor((bit + i) / 8);
        bits[at] = (bits[at] ?? 0) | (1 << ((bit + i) & 7));
      }
    },
  };
}
