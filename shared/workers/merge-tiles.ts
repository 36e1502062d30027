/**
 * The inner loop of a merge, in a worker thread: take the next tile, read its range of every input into WASM memory, run the fused kernel,
 * write the result at its place. Elements are independent of each other, so which thread takes which tile changes nothing.
 * Tiles are taken in ascending order and always finished: the finding with the smallest tile number is the same in every run.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { toTributaryError } from '../errors/tributary-error.js';
import { DTYPE_BYTES } from '../formats/tensor.js';
import { instantiateKernels, RECORD_BYTES } from '../kernels/kernels.js';
import { ACTION, TENSOR, USE } from '../merge/job-layout.js';
import { createProgramTiles } from './program-tiles.js';
import { BASE_USE, CONTROL, type Finding, type MergeJob } from './protocol.js';
import { createSourceReader } from './source-reader.js';
import { runUnits, type UnitRunner } from './units.js';

const WIDTHS = [DTYPE_BYTES.F32, DTYPE_BYTES.F16, DTYPE_BYTES.BF16] as const;

export function startTiles(job: MergeJob): UnitRunner {
  const { control, done, tensors, uses, tileBytes, groupSize } = job;
  const kernels = instantiateKernels(job.kernels);
  const { run } = kernels;
  const inputSlots = Array.from({ length: groupSize }, () => kernels.reserve(tileBytes));
  const baseSlot = kernels.reserve(tileBytes);
  let outSlot = kernels.reserve(tileBytes);
  let outBytes = tileBytes;
  const records = kernels.reserve(groupSize * RECORD_BYTES);
  let keptSlot = 0;
  const reader = createSourceReader(job.sources, kernels);
  const programs = createProgramTiles(kernels, reader, job.statistics);
  const outputs = new Map<number, number>();
  const findings: Finding[] = [];

  const field = (tensor: number, name: number): number => tensors[tensor * TENSOR.fields + name] ?? 0;
  const useField = (use: number, name: number): number => uses[use * USE.fields + name] ?? 0;
  const widthOf = (dtype: number): number => WIDTHS[dtype] ?? 4;

  function write(tensor: number, at: number, pointer: number, length: number): void {
    writeBytes(field(tensor, TENSOR.shard), field(tensor, TENSOR.offset) + at, kernels.bytes(pointer, length));
  }

  function writeBytes(shard: number, position: number, bytes: Uint8Array): void {
    const { length } = bytes;
    let file = outputs.get(shard);
    if (file === undefined) {
      file = openSync(job.outputPaths[shard] ?? '', 'r+');
      outputs.set(shard, file);
    }
    let written = 0;
    try {
      while (written < length) written += writeSync(file, bytes, written, length - written, position + written);
    } catch (error) {
      throw toTributaryError(error, job.outputPaths[shard]);
    }
  }

  function readElements(source: number, dtype: number, start: number, count: number, slot: number): void {
    const width = widthOf(dtype);
    reader.read(source, start * width, kernels.bytes(slot, count * width));
  }

  /** Who brought the NaN or infinity: the base or an input, or else the arithmetic itself overflowed. */
  function explain(unit: number, tensor: number, start: number, count: number): Finding {
    const dtypes: [number, number, number][] = [];
    const baseSource = field(tensor, TENSOR.baseSource);
    if (baseSource >= 0) dtypes.push([BASE_USE, baseSource, field(tensor, TENSOR.baseDtype)]);
    const firstUse = field(tensor, TENSOR.firstUse);
    for (let i = 0; i < field(tensor, TENSOR.useCount); i++)
      dtypes.push([i, useField(firstUse + i, USE.source), useField(firstUse + i, USE.dtype)]);
    const overflowAt = run.firstNonFinite(outSlot, field(tensor, TENSOR.outDtype), count);
    for (const [use, source, dtype] of dtypes) {
      readElements(source, dtype, start, count, baseSlot);
      const index = run.firstNonFinite(baseSlot, dtype, count);
      if (index < 0) continue;
      const element = baseSlot + index * widthOf(dtype);
      run.widen(element, dtype, outSlot, 1);
      return { kind: 'nonFinite', unit, use, element: start + index, value: kernels.view().getFloat32(outSlot, true) };
    }
    return { kind: 'overflow', unit, element: start + Math.max(0, overflowAt) };
  }

  function mergeOne(unit: number, tensor: number, start: number, count: number): Finding | undefined {
    const firstUse = field(tensor, TENSOR.firstUse);
    const useCount = field(tensor, TENSOR.useCount);
    const baseSource = field(tensor, TENSOR.baseSource);
    const baseDtype = field(tensor, TENSOR.baseDtype);
    const outDtype = field(tensor, TENSOR.outDtype);
    const grouped = useCount > groupSize;
    if (grouped && keptSlot === 0) {
      keptSlot = kernels.reserve(tileBytes * 2);
    }
    const view = kernels.view();
    if (baseSource >= 0) readElements(baseSource, baseDtype, start, count, baseSlot);
    let bad = 0;
    for (let from = 0; from < useCount; from += groupSize) {
      const size = Math.min(groupSize, useCount - from);
      for (let i = 0; i < size; i++) {
        const use = firstUse + from + i;
        const slot = inputSlots[i] ?? 0;
        const dtype = useField(use, USE.dtype);
        readElements(useField(use, USE.source), dtype, start, count, slot);
        const record = records + i * RECORD_BYTES;
        view.setUint32(record, slot, true);
        view.setInt32(record + 4, dtype, true);
        view.setInt32(record + 8, useField(use, USE.mode), true);
        view.setFloat64(record + 16, useField(use, USE.coefficient), true);
      }
      bad = run.mergeTile(
        records,
        size,
        baseSource >= 0 ? baseSlot : 0,
        baseDtype,
        grouped ? keptSlot : 0,
        count,
        from === 0 ? 1 : 0,
        from + size === useCount ? 1 : 0,
        field(tensor, TENSOR.divisor),
        field(tensor, TENSOR.lambda),
        field(tensor, TENSOR.plusBase),
        outSlot,
        outDtype,
      );
    }
    if (bad !== 0) return explain(unit, tensor, start, count);
    const width = widthOf(outDtype);
    write(tensor, start * width, outSlot, count * width);
    return undefined;
  }

  function programOne(unit: number, tensor: number, tileCount: number, start: number, count: number): Finding | undefined {
    const task = job.tasks[tensor];
    if (task === undefined) throw new Error('a tensor without its program');
    const width = widthOf(task.outDtype);
    if (tileCount * width > outBytes) {
      outBytes = tileCount * width;
      outSlot = kernels.reserve(outBytes);
    }
    const done = programs.run(task, tileCount, start, count, outSlot);
    if (done.kind === 'nonFinite') return { kind: 'nonFinite', unit, ...done.input };
    if (done.kind === 'overflow') return { kind: 'overflow', unit, element: done.element };
    write(tensor, start * width, outSlot, count * width);
    const { masks } = task;
    if (masks !== undefined) programs.masks.forEach((bits, use) => writeBytes(masks.shard, (masks.offsets[use] ?? 0) + start / 8, bits));
    return undefined;
  }

  function copyOne(unit: number, tensor: number, start: number, length: number): Finding | undefined {
    const firstUse = field(tensor, TENSOR.firstUse);
    reader.read(useField(firstUse, USE.source), start, kernels.bytes(outSlot, length));
    for (let i = 1; i < field(tensor, TENSOR.useCount); i++) {
      reader.read(useField(firstUse + i, USE.source), start, kernels.bytes(baseSlot, length));
      if (Buffer.compare(kernels.bytes(outSlot, length), kernels.bytes(baseSlot, length)) === 0) continue;
      const finding: Finding = { kind: 'difference', unit, use: i };
      if (field(tensor, TENSOR.action) === ACTION.copyIdentical) return finding;
      findings.push(finding);
    }
    write(tensor, start, outSlot, length);
    return undefined;
  }

  function tensorOf(unit: number): number {
    let low = 0;
    let high = tensors.length / TENSOR.fields - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (field(middle, TENSOR.firstTile) <= unit) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  return {
    findings,
    step() {
      if (Atomics.load(control, CONTROL.stop) !== 0) return false;
      const unit = Atomics.add(control, CONTROL.nextUnit, 1);
      if (unit >= job.endTile) return false;
      if (done[unit] === 1) return true;
      const tensor = tensorOf(unit);
      const tileCount = field(tensor, TENSOR.tileCount);
      const start = (unit - field(tensor, TENSOR.firstTile)) * tileCount;
      const count = Math.min(tileCount, field(tensor, TENSOR.count) - start);
      const action = field(tensor, TENSOR.action);
      const fatal =
        action === ACTION.merge
          ? mergeOne(unit, tensor, start, count)
          : action === ACTION.program
            ? programOne(unit, tensor, tileCount, start, count)
            : copyOne(unit, tensor, start, count);
      if (fatal !== undefined) {
        findings.push(fatal);
        Atomics.store(control, CONTROL.stop, 1);
        return false;
      }
      Atomics.store(done, unit, 1);
      Atomics.add(control, CONTROL.doneUnits, 1);
      return true;
    },
    close() {
      reader.close();
      for (const file of outputs.values()) closeSync(file);
    },
  };
}

export const mergeTiles = (job: MergeJob): readonly Finding[] => runUnits(startTiles(job));
