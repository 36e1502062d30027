/** The slow reference that kernels and engine are held against: one element at a time, plain TypeScript, written from the definitions. */
import type { MergeDType } from '../../shared/formats/tensor.js';

const scratch = new DataView(new ArrayBuffer(8));

export function f32FromBits(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}

export function f32Bits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

/** The number that the bits of a dtype stand for. */
export function decode(dtype: MergeDType, bits: number): number {
  if (dtype === 'F32') return f32FromBits(bits);
  if (dtype === 'BF16') return f32FromBits((bits << 16) >>> 0);
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Bits of the value of the dtype that is nearest to the fp32 or fp64 number, ties to the even one: found by looking at both neighbours. */
export function encode(dtype: MergeDType, value: number): number {
  if (dtype === 'F32') return f32Bits(value);
  const infinity = dtype === 'BF16' ? 0x7f80 : 0x7c00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return Number.NaN;
  let low = 0;
  let high = infinity;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (decode(dtype, middle) <= magnitude) low = middle;
    else high = middle;
  }
  if (magnitude === Number.POSITIVE_INFINITY) return sign | infinity;
  const below = decode(dtype, low);
  const above = high === infinity ? 2 * below - decode(dtype, low - 1) : decode(dtype, high);
  const rest = magnitude - below - (above - magnitude);
  if (rest < 0) return sign | low;
  if (rest > 0) return sign | high;
  return sign | (low % 2 === 0 ? low : high);
}

export function isNaNBits(dtype: MergeDType, bits: number): boolean {
  return Number.isNaN(decode(dtype, bits));
}

export interface ReferenceInput {
  readonly dtype: MergeDType;
  readonly bits: readonly number[];
  readonly mode: 'plain' | 'minusBase' | 'plusBase';
  readonly coefficient: number;
}

export interface ReferenceTile {
  readonly inputs: readonly ReferenceInput[];
  readonly base: { readonly dtype: MergeDType; readonly bits: readonly number[] } | undefined;
  readonly divisor: number;
  readonly lambda: number;
  readonly plusBase: boolean;
  readonly outDtype: MergeDType;
}

/** What shared/kernels calls mergeTile, one element at a time. */
export function referenceTile(tile: ReferenceTile): number[] {
  const round = tile.outDtype === 'F32' ? (value: number) => value : Math.fround;
  const count = tile.inputs[0]?.bits.length ?? 0;
  return Array.from({ length: count }, (_, index) => {
    const base = tile.base === undefined ? 0 : decode(tile.base.dtype, tile.base.bits[index] ?? 0);
    let acc: number | undefined;
    for (const input of tile.inputs) {
      const x = decode(input.dtype, input.bits[index] ?? 0);
      const value = input.mode === 'plain' ? x : round(input.mode === 'minusBase' ? x - base : x + base);
      const term = round(round(input.coefficient) * value);
      acc = acc === undefined ? term : round(acc + term);
    }
    let result = acc ?? 0;
    if (tile.divisor !== 1) result = round(result / round(tile.divisor));
    if (tile.lambda !== 1) result = round(result * round(tile.lambda));
    if (tile.plusBase) result = result === 0 ? base : round(base + result);
    return encode(tile.outDtype, result);
  });
}
