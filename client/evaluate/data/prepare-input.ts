/** Columns of a data file in the type and shape that a model's inputs have; made once, cut into batches for every candidate. */
import { type Column, type NumericArray, refuseData, rowSize, rowsOf } from './column.js';

export type NumberType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'int64'
  | 'uint64'
  | 'int32'
  | 'uint32'
  | 'int16'
  | 'uint16'
  | 'int8'
  | 'uint8'
  | 'bool';

/** What a model says of an input. */
export interface InputPort {
  readonly name: string;
  readonly type: string;
  /** Rows first; anything but a number may be any size. */
  readonly shape: readonly unknown[];
}

export interface PreparedInput {
  readonly name: string;
  readonly type: NumberType;
  readonly rows: number;
  /** Of one row. */
  readonly shape: readonly number[];
  /** Rows that the graph wants at once, if that is fixed. */
  readonly batch?: number | undefined;
  readonly values: NumericArray;
}

type Maker = (length: number) => NumericArray;

const MAKERS: Readonly<Record<NumberType, Maker>> = {
  float32: (length) => new Float32Array(length),
  float64: (length) => new Float64Array(length),
  float16: (length) => new Uint16Array(length),
  int64: (length) => new BigInt64Array(length),
  uint64: (length) => new BigUint64Array(length),
  int32: (length) => new Int32Array(length),
  uint32: (length) => new Uint32Array(length),
  int16: (length) => new Int16Array(length),
  uint16: (length) => new Uint16Array(length),
  int8: (length) => new Int8Array(length),
  uint8: (length) => new Uint8Array(length),
  bool: (length) => new Uint8Array(length),
};

const FLOAT_TYPES = new Set<NumberType>(['float32', 'float64', 'float16']);

const isNumberType = (type: string): type is NumberType => Object.hasOwn(MAKERS, type);

/** @throws DATA_INVALID when the column does not fit */
export function prepareInput(port: InputPort, column: Column, where: string): PreparedInput {
  const { type } = port;
  if (!isNumberType(type)) refuseData(where, `input ${port.name} of the model is not of numbers`, { got: type });
  const [first, ...rest] = port.shape;
  const fixed = rest.every((size) => typeof size === 'number');
  const size = rowSize(column);
  if (first === undefined || (fixed && rest.reduce((product: number, one) => product * Number(one), 1) !== size)) {
    refuseData(where, `column ${column.name} does not fit input ${port.name} of the model`, {
      expected: `[${port.shape.join(', ')}]`,
      got: `[${column.shape.join(', ')}]`,
    });
  }
  return {
    name: port.name,
    type,
    rows: rowsOf(column),
    shape: fixed ? rest.map(Number) : column.shape.slice(1),
    batch: typeof first === 'number' ? first : undefined,
    values: convert(column, type, where),
  };
}

function convert({ name, values }: Column, type: NumberType, where: string): NumericArray {
  const made = MAKERS[type](values.length);
  if (made.constructor === values.constructor && type !== 'float16') return values;
  const exact = !FLOAT_TYPES.has(type);
  const big = type === 'int64' || type === 'uint64';
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] as number | bigint;
    if (exact && typeof value === 'number' && !Number.isSafeInteger(value)) {
      refuseData(where, `column ${name} is to be ${type} and holds something else`, { expected: 'whole numbers', got: `${value}` });
    }
    const converted = type === 'float16' ? numberToHalf(Number(value)) : big ? BigInt(value) : Number(value);
    made[index] = converted as number & bigint;
    if (exact && BigInt(made[index] as number | bigint) !== BigInt(value)) {
      refuseData(where, `column ${name} holds a number that ${type} cannot`, { got: `${value}` });
    }
  }
  return made;
}

const single = new Float32Array(1);
const singleBits = new Uint32Array(single.buffer);

/** The bits of IEEE 754 binary16, rounded to nearest even from the value as F32. */
export function numberToHalf(value: number): number {
  single[0] = value;
  const bits = singleBits[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below the smallest normal number: whole multiples of 2^-24.
    const units = Math.abs(single[0] as number) * 2 ** 24;
    const floor = Math.floor(units);
    const odd = floor % 2;
    return sign | (units - floor > 0.5 || (units - floor === 0.5 && odd === 1) ? floor + 1 : floor);
  }
  const rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1);
  return sign | (rounded >>> 13);
}
