/**
 * A contribution of low rank: for some tensors NAME of the base two factors of the task vector, NAME::left [rows, r] and NAME::right [r, columns]
 * (a convolution flattened behind its first dimension), for others whole weights under their own name, and nothing for those that are unchanged.
 */
import type { ErrorCode } from '../errors/catalogue.js';
import { TributaryError } from '../errors/tributary-error.js';
import { f32Bytes } from './adapter.js';
import { isMergeDType, type StoredTensor, type TensorInfo, type TensorMap } from './tensor.js';

export const LEFT_SUFFIX = '::left';
export const RIGHT_SUFFIX = '::right';

type Tensors = ReadonlyMap<string, TensorInfo>;

/** Names in the contribution's file. */
export type LowRankPart =
  | { readonly kind: 'product'; readonly left: string; readonly right: string; readonly rank: number }
  | { readonly kind: 'full'; readonly from: string };

const text = ({ dtype, shape }: TensorInfo): string => `${dtype} [${shape.join(', ')}]`;

function refuse(code: ErrorCode, where: string, what: string, details: { expected?: string; got?: string; fix?: string } = {}): never {
  throw new TributaryError(code, { what, where, ...details });
}

function productPart(name: string, tensors: Tensors, weight: TensorInfo, where: string): LowRankPart {
  const [left, right] = [tensors.get(name + LEFT_SUFFIX), tensors.get(name + RIGHT_SUFFIX)];
  if (left === undefined || right === undefined)
    return refuse('ADAPTER_INVALID', where, `${name} has but one factor`, { expected: `${name}${LEFT_SUFFIX} and ${name}${RIGHT_SUFFIX}` });
  for (const one of [left, right, weight])
    if (!isMergeDType(one.dtype))
      refuse('UNSUPPORTED_DTYPE', where, `${one.name} has a dtype without merge arithmetic`, {
        expected: 'F32, F16 or BF16',
        got: one.dtype,
      });
  const [rows, ...behind] = weight.shape;
  const columns = behind.reduce((product, size) => product * size, 1);
  const [, rank = 0] = left.shape;
  const fits = behind.length > 0 && rank > 0 && left.shape.join() === `${rows},${rank}` && right.shape.join() === `${rank},${columns}`;
  if (!fits)
    refuse('ADAPTER_INVALID', where, `the factors of ${name} do not fit the base's weight`, {
      expected: `[${rows}, r] and [r, ${columns}] for ${text(weight)}`,
      got: `${text(left)} and ${text(right)}`,
      fix: 'Compress the difference to the base that the round uses.',
    });
  return { kind: 'product', left: left.name, right: right.name, rank };
}

/** @throws ADAPTER_INVALID, TENSOR_EXTRA, SHAPE_MISMATCH, UNSUPPORTED_DTYPE */
export function lowRankParts(
  tensors: Tensors,
  base: { readonly name: string; readonly tensors: Tensors },
  where: string,
): Map<string, LowRankPart> {
  const parts = new Map<string, LowRankPart>();
  for (const [from, tensor] of tensors) {
    const suffix = [LEFT_SUFFIX, RIGHT_SUFFIX].find((one) => from.endsWith(one));
    const name = suffix === undefined ? from : from.slice(0, -suffix.length);
    const weight = base.tensors.get(name);
    if (weight === undefined)
      refuse('TENSOR_EXTRA', `${where}: ${from}`, 'a tensor has no counterpart', {
        expected: `a name as in ${base.name}`,
        got: text(tensor),
      });
    const known = parts.get(name);
    const part: LowRankPart = suffix === undefined ? { kind: 'full', from } : productPart(name, tensors, weight, where);
    if (known !== undefined && (known.kind === 'full' || part.kind === 'full'))
      refuse('ADAPTER_INVALID', where, `${name} is there both whole and as factors`);
    if (part.kind === 'full') {
      const sameShape = tensor.shape.join() === weight.shape.join();
      if (!sameShape)
        refuse('SHAPE_MISMATCH', `${where}: ${from}`, 'a tensor has another shape', { expected: text(weight), got: text(tensor) });
      if (tensor.dtype !== weight.dtype && !(isMergeDType(tensor.dtype) && isMergeDType(weight.dtype)))
        refuse('UNSUPPORTED_DTYPE', `${where}: ${from}`, 'a tensor has a dtype that does not go with the base', {
          expected: weight.dtype,
          got: tensor.dtype,
        });
    }
    parts.set(name, part);
  }
  return parts;
}

/** As expandAdapter. @throws as lowRankParts */
export function expandLowRank(
  contribution: { readonly name: string; readonly tensors: TensorMap },
  base: { readonly name: string; readonly tensors: TensorMap },
): TensorMap {
  const { tensors } = contribution;
  const parts = lowRankParts(tensors, base, contribution.name);
  const expanded = new Map<string, StoredTensor>();
  for (const [name, tensor] of base.tensors) {
    const part = parts.get(name);
    const [left, right] = part?.kind === 'product' ? [tensors.get(part.left), tensors.get(part.right)] : [];
    const { shape } = tensor;
    if (part?.kind === 'product' && left !== undefined && right !== undefined) {
      const product = { left, right, rank: part.rank, scale: 1, transposed: false };
      expanded.set(name, { name, dtype: 'F32', shape, sizeBytes: f32Bytes(shape), segments: [], difference: true, product });
    } else expanded.set(name, (part?.kind === 'full' ? tensors.get(part.from) : undefined) ?? tensor);
  }
  return expanded;
}
