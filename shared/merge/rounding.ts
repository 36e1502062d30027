/** Rounds a number to the nearest value of a storage dtype, ties to even; for coefficients under `numerics: mergekit`. */
import { DTYPE_CODE } from '../kernels/kernels.js';

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function toBf16(value: number): number {
  float[0] = value;
  const raw = bits[0] ?? 0;
  bits[0] = (raw + 0x7fff + ((raw >>> 16) & 1)) & 0xffff0000;
  return float[0];
}

function toHalf(value: number): number {
  const magnitude = Math.abs(value);
  if (magnitude === 0 || !Number.isFinite(value)) return value;
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)));
  const step = 2 ** (exponent - 10);
  const scaled = magnitude / step;
  const low = Math.floor(scaled);
  const rest = scaled - low;
  const rounded = rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
  return Math.sign(value) * (rounded * step > 65_504 ? Number.POSITIVE_INFINITY : rounded * step);
}

/** @param dtype DTYPE_CODE; F32 stands for no rounding */
export function roundTo(dtype: number, value: number): number {
  if (dtype === DTYPE_CODE.BF16) return toBf16(Math.fround(value));
  return dtype === DTYPE_CODE.F16 ? toHalf(Math.fround(value)) : value;
}
