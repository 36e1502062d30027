/** What a reference merge is asked for. */
import type { MergeDType } from '../../../shared/formats/tensor.js';
import type { ReferenceModel } from './vectors.js';

/** `mergekit`: its known quirks, instead of the repaired behaviour that is our default. */
export type Quirks = 'mergekit';

export interface ReferenceInput {
  readonly name: string;
  /** Full weights. */
  readonly tensors: ReferenceModel;
  readonly weight?: number;
  readonly density?: number;
  readonly gamma?: number;
  readonly epsilon?: number;
  readonly scale?: number;
  readonly samples?: number;
  readonly steps?: number;
  /** Which elements a random rule keeps, by tensor: 1 or 0. */
  readonly masks?: ReadonlyMap<string, ArrayLike<number>>;
}

export type ReferenceParameter = number | string | boolean;

export interface ReferenceRequest {
  readonly base?: ReferenceModel;
  readonly inputs: readonly ReferenceInput[];
  /** Named as in a recipe. */
  readonly parameters?: Readonly<Record<string, ReferenceParameter>>;
  readonly quirks?: Quirks;
  /** Rounds to it after every operation, as `numerics: mergekit` does; otherwise nothing is rounded. */
  readonly arithmetic?: MergeDType | undefined;
  /** Place of a tensor among the blocks of its model, 0 to 1; undefined outside of blocks. */
  readonly depth?: (tensorName: string) => number | undefined;
}

export type ReferenceRule = (request: ReferenceRequest) => ReferenceModel;
