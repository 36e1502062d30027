import type { TensorMap } from '../formats/tensor.js';

/** Whether a contribution holds fine-tuned weights (task vector = weights - base) or already a difference. */
export type ContributionKind = 'full' | 'delta';

/** One participant of a merge, wherever its bytes lie (a folder, or chunks in the coordinator's store). */
export interface MergeInput {
  readonly name: string;
  readonly kind: ContributionKind;
  readonly tensors: TensorMap;
  /** Number of training samples / optimiser steps behind the contribution, when it said so. */
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  /** Per-model recipe parameters are looked up by this key (the model path of the recipe, or the contributor's name). */
}

export interface MergeBase {
  readonly name: string;
  readonly tensors: TensorMap;
}
