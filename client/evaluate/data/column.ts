/** Columns of numbers, whatever file they come from: one entry a row, all of one shape, row-major. Values keep their own width in memory. */
import { type ErrorDetails, TributaryError } from '../../../shared/errors/tributary-error.js';

export type NumericArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

export interface Column {
  readonly name: string;
  /** Rows first. */
  readonly shape: readonly number[];
  readonly values: NumericArray;
}

/** A data file: its columns by name, each read when it is asked for. */
export interface Table {
  readonly path: string;
  readonly names: readonly string[];
  readonly read: (name: string) => Promise<Column>;
}

/** Half and brain floats are widened to F32. */
export type ElementKind = 'bool' | 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'i64' | 'f16' | 'bf16' | 'f32' | 'f64';

const WIDTH: Readonly<Record<ElementKind, 1 | 2 | 4 | 8>> = {
  bool: 1,
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  f16: 2,
  bf16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  u64: 8,
  i64: 8,
  f64: 8,
};

export const widthOf = (kind: ElementKind): number => WIDTH[kind];

/** @param bytes whole elements, in the given byte order; may be changed */
export function decodeElements(bytes: Uint8Array, kind: ElementKind, bigEndian = false): NumericArray {
  // A copy starts on an address that every view may have (Buffer.slice is none).
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset, byteLength } = aligned;
  if (bigEndian) swapBytes(aligned, WIDTH[kind]);
  const count = byteLength / WIDTH[kind];
  switch (kind) {
    case 'bool':
    case 'u8':
      return new Uint8Array(buffer, byteOffset, count);
    case 'i8':
      return new Int8Array(buffer, byteOffset, count);
    case 'u16':
      return new Uint16Array(buffer, byteOffset, count);
    case 'i16':
      return new Int16Array(buffer, byteOffset, count);
    case 'u32':
      return new Uint32Array(buffer, byteOffset, count);
    case 'i32':
      return new Int32Array(buffer, byteOffset, count);
    case 'u64':
      return new BigUint64Array(buffer, byteOffset, count);
    case 'i64':
      return new BigInt64Array(buffer, byteOffset, count);
    case 'f16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, count), halfToNumber);
    case 'bf16':
      return widenBrain(new Uint16Array(buffer, byteOffset, count));
    case 'f32':
      return new Float32Array(buffer, byteOffset, count);
    case 'f64':
      return new Float64Array(buffer, byteOffset, count);
  }
}

function swapBytes(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (width === 2) buffer.swap16();
  if (width === 4) buffer.swap32();
  if (width === 8) buffer.swap64();
}

/** IEEE 754 binary16. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function widenBrain(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (const [index, one] of bits.entries()) words[index] = one << 16;
  return new Float32Array(words.buffer);
}

export const rowsOf = ({ shape }: Column): number => shape[0] ?? 1;

/** Values of one row. */
export const rowSize = ({ shape }: Column): number => shape.slice(1).reduce((product, size) => product * size, 1);

/** @throws DATA_INVALID when columns have different numbers of rows, or none */
export function commonRows(columns: readonly { readonly name: string; readonly rows: number }[], where: string): number {
  const [first] = columns;
  if (first === undefined) refuseData(where, 'no column is used');
  const other = columns.find(({ rows }) => rows !== first.rows);
  if (other !== undefined) {
    refuseData(where, `column ${other.name} has another number of rows than ${first.name}`, {
      expected: `${first.rows}`,
      got: `${other.rows}`,
    });
  }
  if (first.rows === 0) refuseData(where, 'the data has no rows');
  return first.rows;
}

/** @throws DATA_INVALID when the file has no such column */
export async function readColumn(table: Table, name: string): Promise<Column> {
  if (table.names.includes(name)) return table.read(name);
  throw new TributaryError('DATA_INVALID', {
    what: `the data has no column ${name}`,
    where: table.path,
    expected: name,
    got: table.names.join(', ') || 'no column at all',
  });
}

export function refuseData(where: string, what: string, details: Omit<ErrorDetails, 'what' | 'where'> = {}): never {
  throw new TributaryError('DATA_INVALID', { what, where, ...details });
}
