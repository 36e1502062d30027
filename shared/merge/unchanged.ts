/** Tensors that are the base's own: their task vector is zero, so nothing of them has to be read. */
import type { StoredTensor } from '../formats/tensor.js';
import type { MergeInput } from './types.js';

function sameBytes(a: StoredTensor, b: StoredTensor): boolean {
  if (a.dtype !== b.dtype || a.sizeBytes !== b.sizeBytes || a.segments.length !== b.segments.length || a.segments.length === 0)
    return false;
  return a.segments.every(({ path, offset, length }, index) => {
    const other = b.segments[index];
    return other !== undefined && path === other.path && offset === other.offset && length === other.length;
  });
}

/** Whether a tensor with weights is the base's: the same object, or the same bytes of the same files. */
export function isUnchanged(tensor: StoredTensor, base: StoredTensor | undefined): boolean {
  return base !== undefined && tensor.difference !== true && (tensor === base || sameBytes(tensor, base));
}

/** Whether some tensors of an input are differences to the base. */
export function hasDifferences({ kind, tensors }: Pick<MergeInput, 'kind' | 'tensors'>): boolean {
  if (kind === 'delta') return true;
  for (const { difference } of tensors.values()) if (difference === true) return true;
  return false;
}
