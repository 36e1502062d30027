/** Where PEFT keeps the change of a weight as two factors A and B: kind of layer, names and shapes. */
import { parseAdapterKey } from '../formats/adapter-keys.js';
import type { DType, StoredTensor, TensorInfo } from '../formats/tensor.js';

export interface Slot {
  readonly kind: 'linear' | 'convolution' | 'embedding';
  /** The weight's name without `.weight`. */
  readonly module: string;
  /** The weight is (B A)^T: embeddings, and matrices that lie as (in, out). */
  readonly turned: boolean;
}

/** What factors of the same weight, in another adapter, say of it. */
export type SlotHint = Pick<Slot, 'turned'> & { readonly embedding: boolean };

const PREFIX = 'base_model.model.';
const WEIGHT = '.weight';

/** Modules of embeddings, by the last part of their names; others are heads. */
const EMBEDDING = /(?:^|\.)(?:(?!(?:embed_out|unembed)$)\w*embed(?:s|ding|dings|_\w+)?|wte|wpe|shared|relative_attention_bias)$/;

export const isEmbedding = (name: string, shape: readonly number[]): boolean =>
  shape.length === 2 && name.endsWith(WEIGHT) && EMBEDDING.test(name.slice(0, -WEIGHT.length));

/** Of a product that an adapter brought along. */
export function hintOf({ product }: StoredTensor): SlotHint | undefined {
  if (product === undefined) return undefined;
  const key = parseAdapterKey(product.left.name, product.left.name);
  return key.kind === 'factor' ? { turned: product.transposed, embedding: key.embedding } : undefined;
}

/** Kernels: (out, in, size), and one or two sizes more. A tensor of three dimensions may as well be several matrices in one. */
function isConvolution(module: string, shape: readonly number[], hint: SlotHint | undefined): boolean {
  if (hint !== undefined) return true;
  // One input channel a group is most likely a convolution in groups, whose factors mix channels of all groups.
  const [out = 0, channels = 0] = shape;
  const named = shape.length > 3 || /conv[^.]*$/i.test(module);
  return shape.length <= 5 && named && (channels > 1 || out === 1);
}

/**
 * Undefined when PEFT has no such place: what is no weight of a module, vectors, several matrices in one.
 * @param hint wins over names
 * @param fanInFanOut matrices lie as (in, out)
 */
export function slotOf(
  { name, shape }: Pick<TensorInfo, 'name' | 'shape'>,
  hint: SlotHint | undefined,
  fanInFanOut: boolean,
): Slot | undefined {
  if (!name.endsWith(WEIGHT) || name.length === WEIGHT.length || shape.includes(0) || shape.length < 2) return undefined;
  const module = name.slice(0, -WEIGHT.length);
  if (shape.length > 2) return isConvolution(module, shape, hint) ? { kind: 'convolution', module, turned: false } : undefined;
  if (hint?.embedding ?? isEmbedding(name, shape)) return { kind: 'embedding', module, turned: true };
  return { kind: 'linear', module, turned: hint?.turned ?? fanInFanOut };
}

/** The weight as a matrix: a convolution flattened behind its first dimension. */
export function matrixOf(shape: readonly number[]): { readonly rows: number; readonly columns: number } {
  const [rows = 0, ...rest] = shape;
  return { rows, columns: rest.reduce((product, size) => product * size, 1) };
}

/** A and B, in the order in which they are written. */
export function factorTensors(
  { kind, module, turned }: Slot,
  shape: readonly number[],
  rank: number,
  dtype: DType,
): [TensorInfo, TensorInfo] {
  const [rows = 0, ...inner] = shape;
  const tensor = (name: string, size: readonly number[]): TensorInfo => ({ name: `${PREFIX}${module}.${name}`, dtype, shape: size });
  if (kind === 'embedding') return [tensor('lora_embedding_A', [rank, rows]), tensor('lora_embedding_B', [...inner, rank])];
  const [a, b] = turned ? [[rows], inner[0] ?? 0] : [inner, rows];
  return [
    tensor('lora_A.weight', [rank, ...a]),
    tensor('lora_B.weight', [b, rank, ...(kind === 'convolution' ? inner.slice(1).map(() => 1) : [])]),
  ];
}

/** What a tensor that is saved whole is called; a layer with factors keeps its own parameters one level down. */
export function wholeName(name: string, isFactored: (module: string) => boolean): string {
  const at = name.lastIndexOf('.');
  const module = name.slice(0, Math.max(0, at));
  return isFactored(module) ? `${PREFIX}${module}.base_layer${name.slice(at)}` : `${PREFIX}${name}`;
}
