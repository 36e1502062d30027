/**
 * Statistics passes over tensors that have a program, in a worker thread: take the next unit, load its vectors with the stages that come before,
 * count or sum. Counts are whole numbers and sums are kept unit by unit, so which thread takes which unit changes nothing.
 */
import { HIGH_TABLE_ENTRIES, LOW_TABLE_ENTRIES } from '../kernels/block-functions.js';
import { instantiateKernels } from '../kernels/kernels.js';
import { BLOCK_ELEMENTS, UNIT_ELEMENTS } from '../merge/program.js';
import { type Bench, LOW_TABLES, leaveGathered, observe, stagesBefore } from './looks.js';
import type { Look, LookTask, TensorTask } from './program-job.js';
import { CONTROL, type Finding, type LookJob } from './protocol.js';
import { createRowDraw, drawnElements } from './row-draw.js';
import { selectBorder } from './select-lists.js';
import { createSourceReader } from './source-reader.js';
import { createSpecialBench, type LookShape, specialShape } from './special-looks.js';
import { runUnits, type UnitRunner } from './units.js';
import { createVectors } from './vectors.js';

/** Units that a look takes. */
export function unitsOf(look: Look, task: Pick<TensorTask, 'program' | 'count'>): number {
  return look.kind === 'select' ? look.borders.length : Math.ceil(task.count / unitElementsOf(look, task));
}

/** Elements of one unit of a look. Drawing by rank takes whole rows, as many as end at a whole byte of the mask. */
export function unitElementsOf(look: Look, task: Pick<TensorTask, 'program' | 'count'>): number {
  if (look.kind !== 'draw') return specialShape(look, task)?.unit ?? UNIT_ELEMENTS;
  let step = task.program.columns;
  while (step % 8 !== 0) step *= 2;
  return step * Math.max(1, Math.floor(UNIT_ELEMENTS / step));
}

/** Elements that are loaded at a time. */
function stepOf({ look, task }: Pick<LookTask, 'look' | 'task'>): number {
  return look.kind === 'draw' ? drawnElements(task.program.columns) : BLOCK_ELEMENTS;
}

/** Numbers that a thread counts for each input before it adds them to the shared ones. */
export function tableLength(look: Look): number {
  if (look.kind !== 'high' && look.kind !== 'low') return 0;
  return (look.kind === 'high' ? HIGH_TABLE_ENTRIES : LOW_TABLES * LOW_TABLE_ENTRIES) * (look.scores === true ? 2 : 1);
}

function shapeOf({ look, task }: Pick<LookTask, 'look' | 'task'>): LookShape {
  const unit = unitElementsOf(look, task);
  return specialShape(look, task) ?? { unit, piece: unit, step: stepOf({ look, task }) };
}

/** A sample takes so many elements of each stretch of so many, at a place of its own in each: what repeats with a tensor's rows must not bias it. */
const SAMPLED_STRETCH = 16_384;
const SAMPLED_ELEMENTS = 512;

/** Elements of a sample of a tensor. */
export function sampledElements(count: number): number {
  const rest = count % SAMPLED_STRETCH;
  return Math.floor(count / SAMPLED_STRETCH) * SAMPLED_ELEMENTS + Math.min(SAMPLED_ELEMENTS, rest);
}

/** What is read of a unit; all of it, or its part of a sample. */
function piecesOf(look: Look, start: number, count: number, piece: number): [from: number, length: number][] {
  const pieces: [number, number][] = [];
  if ((look.kind !== 'high' && look.kind !== 'gather') || look.sampled !== true) {
    for (let at = 0; at < count; at += piece) pieces.push([start + at, Math.min(piece, count - at)]);
    return pieces;
  }
  for (let at = 0; at < count; at += SAMPLED_STRETCH) {
    const length = Math.min(SAMPLED_STRETCH, count - at);
    const sampled = Math.min(SAMPLED_ELEMENTS, length);
    const hash = Math.imul((start + at) / SAMPLED_STRETCH + 1, 0x9e3779b1) ^ 0x85ebca6b;
    const shift = ((Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 8) % (length - sampled + 1)) & ~7;
    pieces.push([start + at + shift, sampled]);
  }
  return pieces;
}

export function startLooks(job: LookJob): UnitRunner {
  const { control, tasks, buffers, statistics } = job;
  const kernels = instantiateKernels(job.kernels);
  const reader = createSourceReader(job.sources, kernels);
  const rowDraw = createRowDraw(kernels);
  const vectors = createVectors(kernels, reader, statistics);
  const last = tasks.at(-1);
  const total = last === undefined ? 0 : last.firstUnit + last.units;
  const findings: Finding[] = [];
  const special = createSpecialBench(kernels, vectors, statistics);
  const gathered = { address: 0, listed: [] as number[], smaller: [] as number[], found: kernels.reserve(8) };
  let gatheredLists = 0;
  const keyTable = kernels.reserve(BLOCK_ELEMENTS * 4);
  let tables = 0;
  let tableBytes = 0;
  let open: LookTask | undefined;
  let openIndex = -1;

  function indexOf(unit: number): number {
    let low = 0;
    let high = tasks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((tasks[middle]?.firstUnit ?? 0) <= unit) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Adds the counts of this thread to the shared ones. */
  function flush(): void {
    if (open === undefined) return;
    const { look, task } = open;
    if (look.kind !== 'high' && look.kind !== 'low') return;
    const length = tableLength(look) * task.uses.length;
    const bytes = kernels.bytes(tables, length * 4);
    const mine = new Uint32Array(bytes.buffer, bytes.byteOffset, length);
    const shared = buffers.tables.subarray(look.tables, look.tables + length);
    while (Atomics.compareExchange(buffers.lock, 0, 0, 1) !== 0);
    for (let i = 0; i < length; i++) {
      const count = mine[i] ?? 0;
      if (count !== 0) shared[i] = (shared[i] ?? 0) + count;
    }
    Atomics.store(buffers.lock, 0, 0);
    mine.fill(0);
  }

  function enter(index: number): LookTask {
    const next = tasks[index];
    if (next === undefined) throw new Error('a unit without a task');
    if (index === openIndex) return next;
    flush();
    open = next;
    openIndex = index;
    if (next.look.kind === 'select') return next;
    const { piece, step } = shapeOf(next);
    vectors.open(next.task, Math.min(piece, next.task.count), step);
    if (next.look.kind === 'sizes' || next.look.kind === 'norms') special.combiner.open(next.task, step);
    if (next.look.kind === 'gather' && next.look.ranges.length > gatheredLists) {
      gatheredLists = next.look.ranges.length;
      gathered.address = kernels.reserve(gatheredLists * UNIT_ELEMENTS * 4);
    }
    const bytes = tableLength(next.look) * next.task.uses.length * 4;
    if (bytes > tableBytes) {
      tables = kernels.reserve(bytes);
      tableBytes = bytes;
      kernels.bytes(tables, bytes).fill(0);
    }
    return next;
  }

  function perform(unit: number): boolean {
    const { task, look, firstUnit } = enter(indexOf(unit));
    if (look.kind === 'select') {
      selectBorder(look, unit - firstUnit, buffers);
      return true;
    }
    const { unit: size, piece, step } = shapeOf({ task, look });
    const start = (unit - firstUnit) * size;
    const bench: Bench = { vectors, rowDraw, statistics, buffers, special, tables, keyTable, gathered, bytes: kernels.bytes };
    for (const [from, length] of piecesOf(look, start, Math.min(size, task.count - start), piece)) {
      // NaN and infinity are the last pass's business, except where coefficients of all tiles follow from what is measured.
      const bad = vectors.read(from, length, look.kind === 'gram' || look.kind === 'energy');
      if (bad !== undefined) {
        findings.push({ kind: 'nonFinite', unit: task.tile, ...bad });
        return false;
      }
      for (let at = 0; at < length; at += step) {
        const block = { task, unit: unit - firstUnit, start: from, at, size: Math.min(step, length - at) };
        vectors.load(at, block.size, stagesBefore(look, task));
        observe(bench, block, look);
      }
    }
    if (look.kind === 'gather') leaveGathered(bench, unit - firstUnit, look);
    Atomics.add(control, CONTROL.doneUnits, 1);
    return true;
  }

  return {
    findings,
    step() {
      if (Atomics.load(control, CONTROL.stop) !== 0) return false;
      const unit = Atomics.add(control, CONTROL.nextUnit, 1);
      if (unit >= total) return false;
      if (perform(unit)) return true;
      Atomics.store(control, CONTROL.stop, 1);
      return false;
    },
    close() {
      flush();
      reader.close();
    },
  };
}

export const lookAtAll = (job: LookJob): readonly Finding[] => runUnits(startLooks(job));
