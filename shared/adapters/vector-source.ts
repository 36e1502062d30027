/** The change of one weight, as far as it is known before anything is factored. */
import type { StoredTensor } from '../formats/tensor.js';

/** weight x STAR_eta(product), or weight x product. */
export interface VectorTerm {
  /** Whose it is, for errors. */
  readonly model: string;
  /** A product. */
  readonly tensor: StoredTensor;
  readonly weight: number;
  /** Percent. */
  readonly eta?: number | undefined;
}

/** A sum of products, nothing of which is written out. */
export interface ProductSum {
  readonly kind: 'products';
  readonly terms: readonly VectorTerm[];
}

export type VectorSource =
  | ProductSum
  /** The change itself, or weights that the base is taken off. */
  | { readonly kind: 'stored'; readonly model: string; readonly tensor: StoredTensor; readonly difference: boolean };

/** By names of the base's tensors; what is not there does not change. */
export type VectorSources = ReadonlyMap<string, VectorSource>;
