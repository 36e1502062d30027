/** The data every part of the house passes around when it talks about tensors on disk. Plain objects: they cross threads. */

/** safetensors dtype names and their width in bytes. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2FNUZ: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
  C64: 8,
} as const;

export type DType = keyof typeof DTYPE_BYTES;

/** The dtypes the kernels have arithmetic for. */
export type MergeDType = 'F32' | 'F16' | 'BF16';

export function isDType(name: string): name is DType {
  return Object.hasOwn(DTYPE_BYTES, name);
}

export function isMergeDType(dtype: DType): dtype is MergeDType {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}

export function isFloatDType(dtype: DType): boolean {
  return dtype.startsWith('F') || dtype === 'BF16';
}

export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A run of bytes in a file: `length` bytes from `offset`. */
export interface Segment {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** A tensor and where its bytes lie: the concatenation of `segments`, little-endian, row-major. Element borders never split. */
export interface StoredTensor extends TensorInfo {
  readonly sizeBytes: number;
  readonly segments: readonly Segment[];
  /** Present when the values are not stored but are this product, as F32; `segments` is then empty and `sizeBytes` 4 bytes an element. */
  readonly product?: Product | undefined;
  /** Present when the values are not stored but are this sum, element by element, as F32; `segments` and `sizeBytes` as with a product. */
  readonly sum?: TensorSum | undefined;
  /** The values are a difference to the base, whatever the other tensors of the same contribution are. */
  readonly difference?: boolean | undefined;
}

/** Weights and a difference to them: a model with an adapter on a base that a merge does not know as its base. */
export interface TensorSum {
  /** F32, F16 or BF16, stored. */
  readonly weights: StoredTensor;
  /** A product. */
  readonly difference: StoredTensor;
}

/** scale x left x right, in the shape of the tensor it belongs to (convolutions flattened behind the first dimension), or its transpose. */
export interface Product {
  /** Rows x rank and rank x columns (a shape behind the first dimension counts as one); F32, F16 or BF16. */
  readonly left: StoredTensor;
  readonly right: StoredTensor;
  readonly rank: number;
  readonly scale: number;
  /** The tensor is (left x right)^T: `fan_in_fan_out`, embeddings. */
  readonly transposed: boolean;
}

export type TensorMap = ReadonlyMap<string, StoredTensor>;

/** Bytes that have to be read for all values of a tensor once. */
export function readBytesOf({ product, sum, sizeBytes }: StoredTensor): number {
  if (product !== undefined) return product.left.sizeBytes + product.right.sizeBytes;
  return sum === undefined ? sizeBytes : sum.weights.sizeBytes + readBytesOf(sum.difference);
}

/** The dtype that the values are kept in; of a sum that of its weights. A product has none of its own. */
export function nativeDType({ sum, dtype }: StoredTensor): DType {
  return sum === undefined ? dtype : sum.weights.dtype;
}
