/**
 * How near a merge has to be to its fp64 reference: one rounding to the output's dtype, plus what the arithmetic before it may lose, f32 for
 * 16-bit outputs and fp64 for F32.
 */
import type { MergeDType } from '../../../shared/formats/tensor.js';
import { at, type ReferenceModel } from './vectors.js';

const FRACTION_BITS: Readonly<Record<MergeDType, number>> = { F32: 23, BF16: 7, F16: 10 };
const SMALLEST_EXPONENT: Readonly<Record<MergeDType, number>> = { F32: -126, BF16: -126, F16: -14 };
const ARITHMETIC: Readonly<Record<MergeDType, number>> = { F32: 2 ** -48, BF16: 2 ** -23, F16: 2 ** -23 };

/** Distance between neighbours of the dtype around a number. */
export function ulp(dtype: MergeDType, value: number): number {
  const exponent = value === 0 ? Number.NEGATIVE_INFINITY : Math.floor(Math.log2(Math.abs(value)));
  return 2 ** (Math.max(exponent, SMALLEST_EXPONENT[dtype]) - FRACTION_BITS[dtype]);
}

export interface Difference {
  readonly tensor: string;
  readonly index: number;
  readonly found: number;
  readonly expected: number;
  readonly tolerance: number;
}

export interface Found {
  dtype(tensor: string): MergeDType;
  values(tensor: string): readonly number[];
}

/**
 * @param operands what went into every element; their largest magnitude, times `amplify`, scales the arithmetic's error
 * @param arithmetic relative error of the arithmetic, if another than that of the output's dtype
 * @returns the elements that lie too far away
 */
export function differences(
  found: Found,
  expected: ReferenceModel,
  operands: readonly ReferenceModel[],
  amplify: number,
  arithmetic?: number,
): Difference[] {
  return [...expected].flatMap(([tensor, { values }]) => {
    const dtype = found.dtype(tensor);
    const merged = found.values(tensor);
    if (merged.length !== values.length) throw new Error(`${tensor} has ${merged.length} elements, expected ${values.length}`);
    const sources = operands.flatMap((model) => model.get(tensor)?.values ?? []);
    return merged.flatMap((value, index): Difference[] => {
      const right = at(values, index);
      const size = sources.reduce((largest, source) => Math.max(largest, Math.abs(at(source, index))), 0);
      const tolerance = 0.501 * ulp(dtype, Math.max(Math.abs(value), Math.abs(right))) + (arithmetic ?? ARITHMETIC[dtype]) * amplify * size;
      return Math.abs(value - right) <= tolerance ? [] : [{ tensor, index, found: value, expected: right, tolerance }];
    });
  });
}

/** Models whose every number is a little off: by up to `relative` of it. */
export function perturbed(model: ReferenceModel, relative: number, next: () => number): ReferenceModel {
  return new Map(
    [...model].map(([name, { shape, values }]) => [
      name,
      { shape, values: values.map((value) => value * (1 + relative * (2 * next() - 1))) },
    ]),
  );
}
