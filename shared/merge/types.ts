import type { DType, StoredTensor, TensorMap } from '../formats/tensor.js';
import type { ValueMode } from '../kernels/kernels.js';
import type { Parameters } from '../recipe/recipe.js';
import type { Derivation } from './derive.js';
import type { SumSpec, TensorRule } from './plan-sum.js';
import type { TensorProgram } from './program.js';
import type { ModelRule } from './robust.js';
import type { PlannedTaskMasks } from './task-masks.js';

/** Whether a contribution holds fine-tuned weights (task vector = weights - base) or already a difference. */
export type ContributionKind = 'full' | 'delta';

/** One participant of a merge, wherever its bytes lie (a folder, or chunks in the coordinator's store). */
export interface MergeInput {
  /** Named in errors, and what the recipe's `contributors:` refers to: the model path of the recipe, or the contributor's name. */
  readonly name: string;
  readonly kind: ContributionKind;
  readonly tensors: TensorMap;
  /** Number of training samples / optimiser steps behind the contribution, when it said so. */
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  /** Parameters that the recipe gives beside the model. */
  readonly parameters?: Parameters | undefined;
  /** What its own files hold, where that is not `tensors` (adapters): what its digest is of. */
  readonly stored?: TensorMap | undefined;
  /** Hex SHA-256 of the weights (see transfer/artifact.ts); what random masks depend on. */
  readonly weightsDigest?: string | undefined;
  /** The base model itself, taking part as a model (linear only). */
  readonly isBase?: boolean | undefined;
}

export interface MergeBase {
  readonly name: string;
  /** Hex SHA-256 of its weights, where it is known. */
  readonly digest?: string | undefined;
  readonly tensors: TensorMap;
}

/** What one input does in one output tensor. */
export interface PlannedUse {
  /** Number of the input in `inputNames`, or -1 for the base. */
  readonly input: number;
  readonly tensor: StoredTensor;
  readonly mode: ValueMode;
  readonly coefficient: number;
}

export interface PlannedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  readonly shard: number;
  /** In bytes from the start of the shard. */
  readonly offset: number;
  /** `copy` takes the bytes of the first use and reports inputs that differ; `copyIdentical` refuses them. */
  readonly action: 'merge' | 'copy' | 'copyIdentical';
  readonly uses: readonly PlannedUse[];
  /** Present when the arithmetic needs the base. */
  readonly base?: StoredTensor | undefined;
  readonly divisor: number;
  readonly lambda: number;
  readonly plusBase: boolean;
  /** The merged task vector itself, without the base. */
  readonly vectorOnly?: boolean | undefined;
  /** Present when the rule is no weighted sum; `divisor`, `lambda` and `plusBase` then do not count. */
  readonly program?: TensorProgram | undefined;
  /** Where the masks of the uses go, of rules with one model for each task: number of the file behind the shards, bytes from its start. */
  readonly masks?: { readonly shard: number; readonly offsets: readonly number[] } | undefined;
  /** Present when whole matrices are worked on first; `uses` (or `pending`) then take what comes of it. */
  readonly derivation?: Derivation | undefined;
  /** Present when coefficients are measured first; `uses` then are those of the measurement. */
  readonly pending?: PendingSum | undefined;
}

/** A weighted sum whose coefficients follow from products of vectors: of this tensor, of all tensors together, or both. */
export interface PendingSum {
  readonly spec: SumSpec;
  readonly rule?: TensorRule | undefined;
  /** Whose products are taken, when not those of what is added up. */
  readonly measures?: SumSpec['of'] | undefined;
  /** DTYPE_CODE that inputs are rounded to before anything is done with them (`numerics: mergekit`). */
  readonly cast?: number | undefined;
}

/** What is measured over all tensors before anything is merged, and what its result multiplies. */
export interface ModelMeasurement {
  readonly rule: ModelRule;
  /** Whose products are taken. */
  readonly of: SumSpec['of'];
  /** Vectors are scaled down in front of other steps (`clip`), instead of coefficients being multiplied. */
  readonly clip?: boolean | undefined;
}

export interface PlannedShard {
  readonly fileName: string;
  readonly headerBytes: Uint8Array;
  readonly sizeBytes: number;
}

export interface PlanTotals {
  readonly tensors: number;
  /** All inputs once. */
  readonly readBytes: number;
  readonly writeBytes: number;
  /** How often inputs are read: statistics come first for many rules. */
  readonly passes: number;
  readonly peakMemoryBytes: number;
}

/** Everything that determines the bytes of the result. Plain data. */
export interface MergePlan {
  readonly inputNames: readonly string[];
  readonly baseName?: string | undefined;
  /** In the order of the output files. */
  readonly tensors: readonly PlannedTensor[];
  readonly shards: readonly PlannedShard[];
  /** Text of model.safetensors.index.json; absent when there is one shard. */
  readonly indexText?: string | undefined;
  readonly warnings: readonly string[];
  readonly model?: ModelMeasurement | undefined;
  /** Of rules with one model for each task: the file that gives them back. */
  readonly taskMasks?: PlannedTaskMasks | undefined;
  readonly totals: PlanTotals;
  /** Storage dtype of the merged tensors, or undefined when they differ. */
  readonly dtype?: DType | undefined;
}
