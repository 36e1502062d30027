/** Sums of squares of task vectors, in a worker thread: one fp64 sum a unit, added up by the main thread in order. */
import { DTYPE_BYTES } from '../formats/tensor.js';
import { instantiateKernels } from '../kernels/kernels.js';
import { BASE_USE, CONTROL, type Finding, type NormsJob } from './protocol.js';
import { createSourceReader } from './source-reader.js';

/** Elements a unit has at most: part of the result (it fixes the order of additions), not a tuning knob. */
export const NORM_UNIT_ELEMENTS = 65_536;

const FIELDS = 6;
const WIDTHS = [DTYPE_BYTES.F32, DTYPE_BYTES.F16, DTYPE_BYTES.BF16] as const;

export function sumNorms(job: NormsJob): Finding[] {
  const { control, units, sums } = job;
  const kernels = instantiateKernels(job.kernels);
  const { run } = kernels;
  const slot = kernels.reserve(NORM_UNIT_ELEMENTS * 4);
  const baseSlot = kernels.reserve(NORM_UNIT_ELEMENTS * 4);
  const wide = kernels.reserve(8 * 4);
  const reader = createSourceReader(job.sources, kernels);
  const findings: Finding[] = [];

  const find = (unit: number, use: number, pointer: number, dtype: number, start: number, count: number): boolean => {
    const index = run.firstNonFinite(pointer, dtype, count);
    if (index < 0) return false;
    run.widen(pointer + index * (WIDTHS[dtype] ?? 4), dtype, wide, 1);
    findings.push({ kind: 'nonFinite', unit, use, element: start + index, value: kernels.view().getFloat32(wide, true) });
    Atomics.store(control, CONTROL.stop, 1);
    return true;
  };

  try {
    while (Atomics.load(control, CONTROL.stop) === 0) {
      const unit = Atomics.add(control, CONTROL.nextUnit, 1);
      if (unit >= sums.length) break;
      const [source = 0, dtype = 0, baseSource = -1, baseDtype = 0, start = 0, count = 0] = units.subarray(
        unit * FIELDS,
        unit * FIELDS + FIELDS,
      );
      const width = WIDTHS[dtype] ?? 4;
      reader.read(source, start * width, kernels.bytes(slot, count * width));
      let sum: number;
      if (baseSource < 0) {
        sum = run.dot(slot, dtype, slot, dtype, count);
      } else {
        const baseWidth = WIDTHS[baseDtype] ?? 4;
        reader.read(baseSource, start * baseWidth, kernels.bytes(baseSlot, count * baseWidth));
        sum = run.squaredDifference(slot, dtype, baseSlot, baseDtype, count);
      }
      sums[unit] = sum;
      if (!Number.isFinite(sum) && !find(unit, 0, slot, dtype, start, count)) find(unit, BASE_USE, baseSlot, baseDtype, start, count);
      Atomics.add(control, CONTROL.doneUnits, 1);
    }
  } finally {
    reader.close();
  }
  return findings;
}
