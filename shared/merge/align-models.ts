/**
 * Brings models that are merged tensor by tensor to the same names and shapes. Two differences are common enough to have an answer: an output
 * head that is tied to the embeddings is saved in some models only, and a vocabulary was enlarged. Everything else is refused.
 */
import { TributaryError } from '../errors/tributary-error.js';
import { DTYPE_BYTES, isMergeDType, type Segment, type StoredTensor } from '../formats/tensor.js';
import { checkCompatibility } from './compatibility.js';
import type { ContributionKind } from './types.js';

/** A tensor under the name it has in the output. */
export interface NamedTensor {
  readonly tensor: StoredTensor;
  /** In its own file. */
  readonly inputName: string;
}

export interface AlignedModel {
  readonly name: string;
  readonly kind: ContributionKind;
  readonly tensors: Map<string, NamedTensor>;
}

export interface Alignment {
  /** Of the output, in the order of the reference. */
  readonly names: readonly string[];
  readonly warnings: readonly string[];
  /** Rows that are left of the embeddings, where they were cut. */
  readonly vocabularyRows?: number | undefined;
}

/** Saved by some and not by others although the models are the same: a tied head, buffers of older versions. */
const OPTIONAL = /(?:^|\.)(?:lm_head\.weight|embed_out\.weight|rotary_emb\.inv_freq|attn\.masked_bias)$/;
const HEAD = /(?:^|\.)(?:lm_head|embed_out|output)\.weight$/;
const EMBEDDING = /(?:^|\.)(?:embed_tokens|tok_embeddings|word_embeddings|embed_in|wte|shared)\.weight$/;

/** Any of those. */
const SPECIAL = new RegExp([OPTIONAL, HEAD, EMBEDDING].map((pattern) => pattern.source).join('|'));

/** The first rows of a matrix: a prefix of its bytes. */
function topRows(tensor: StoredTensor, rows: number): StoredTensor {
  const [, columns = 1] = tensor.shape;
  const sizeBytes = rows * columns * DTYPE_BYTES[tensor.dtype];
  const segments: Segment[] = [];
  let left = sizeBytes;
  for (const segment of tensor.segments) {
    if (left <= 0) break;
    segments.push(segment.length <= left ? segment : { ...segment, length: left });
    left -= segment.length;
  }
  return { ...tensor, shape: [rows, columns], sizeBytes, segments };
}

function refuseSmaller(name: string, model: AlignedModel, base: AlignedModel, rows: number, baseRows: number): never {
  throw new TributaryError('SHAPE_MISMATCH', {
    what: `the vocabulary of ${model.name} is smaller than the base's, so there is no task vector for the rest`,
    where: `${model.name}: ${name}`,
    expected: `at least ${baseRows} rows, as in ${base.name}`,
    got: `${rows} rows`,
    fix: 'Resize its embeddings to the vocabulary of the base.',
  });
}

/** Cuts embeddings of different vocabularies to their common rows (of task vectors: to the rows of the base). */
function cutRows(
  name: string,
  members: readonly AlignedModel[],
  base: AlignedModel | undefined,
  toBase: boolean,
): { rows: number; warning: string } | undefined {
  const holders = members.flatMap((model) => {
    const held = model.tensors.get(name);
    return held === undefined ? [] : [{ model, held, shape: held.tensor.shape }];
  });
  const [first] = holders;
  if (
    first === undefined ||
    holders.some(({ shape, held }) => shape.length !== 2 || shape[1] !== first.shape[1] || !isMergeDType(held.tensor.dtype))
  )
    return undefined;
  const rowsOf = (shape: readonly number[]): number => shape[0] ?? 0;
  const all = holders.map(({ shape }) => rowsOf(shape));
  const least = Math.min(...all);
  const most = Math.max(...all);
  if (least === most) return undefined;
  const baseShape = base?.tensors.get(name)?.tensor.shape;
  if (toBase && base !== undefined && baseShape !== undefined && rowsOf(baseShape) > least) {
    const small = holders.find(({ shape }) => rowsOf(shape) === least);
    if (small !== undefined) refuseSmaller(name, small.model, base, least, rowsOf(baseShape));
  }
  for (const { model, held } of holders)
    if (rowsOf(held.tensor.shape) > least) model.tensors.set(name, { ...held, tensor: topRows(held.tensor, least) });
  const longest = holders.find(({ shape }) => rowsOf(shape) === most);
  return {
    rows: least,
    warning: `${name} has ${most} rows in ${longest?.model.name ?? ''} and ${least} elsewhere: only the first ${least} are merged, tokens behind them are lost`,
  };
}

/** Leaves out, of an optional tensor that only some have, what cannot be merged; says what happened. */
function settleOptional(name: string, members: readonly AlignedModel[], base: AlignedModel | undefined): string | undefined {
  const without = members.filter((model) => !model.tensors.has(name));
  if (without.length === 0) return undefined;
  const names = without.map((model) => model.name).join(', ');
  if (base !== undefined && without.includes(base)) {
    for (const model of members) model.tensors.delete(name);
    return `${name} is left out: ${base.name}, the base, does not have it (a head tied to the embeddings)`;
  }
  return `${name} is merged without ${names}, which ${without.length === 1 ? 'does' : 'do'} not have it`;
}

/** The tensors under their output names; `keep` says which. */
function view(model: AlignedModel, keep: (name: string) => boolean): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { tensor }] of model.tensors) if (keep(name)) tensors.set(name, tensor);
  return tensors;
}

/**
 * Changes the models' maps: afterwards, a name that a model has is fit to be merged with that of the others.
 * @param base the reference when there is one; else the first model is
 * @param toBase whether task vectors are merged, so that the base's shapes count
 * @param strict in a round: contributions were held against the base when they came
 * @throws TENSOR_MISSING, TENSOR_EXTRA, SHAPE_MISMATCH, DTYPE_MISMATCH, UNSUPPORTED_DTYPE
 */
export function alignModels(
  models: readonly AlignedModel[],
  base: AlignedModel | undefined,
  { toBase, strict }: { readonly toBase: boolean; readonly strict: boolean },
): Alignment {
  const members = base === undefined ? models : [base, ...models];
  const [reference] = members;
  if (reference === undefined) return { names: [], warnings: [] };
  const warnings: string[] = [];
  let vocabularyRows: number | undefined;
  const optional = new Set<string>();
  if (!strict) {
    const all = new Set<string>();
    for (const model of members) for (const name of model.tensors.keys()) if (SPECIAL.test(name)) all.add(name);
    for (const name of all) {
      if (OPTIONAL.test(name)) {
        const warning = settleOptional(name, members, base);
        if (warning !== undefined) warnings.push(warning);
        optional.add(name);
      }
      if (!EMBEDDING.test(name) && !HEAD.test(name)) continue;
      const cut = cutRows(name, members, base, toBase);
      if (cut === undefined) continue;
      warnings.push(cut.warning);
      if (EMBEDDING.test(name) || vocabularyRows === undefined) vocabularyRows = cut.rows;
    }
  }
  const required = (name: string): boolean => !optional.has(name);
  const expected = { name: reference.name, tensors: view(reference, required) };
  for (const model of members) if (model !== reference) checkCompatibility(expected, { ...model, tensors: view(model, required) });
  checkOptional(optional, members);
  const names = [
    ...reference.tensors.keys(),
    ...[...optional].filter((name) => !reference.tensors.has(name) && members.some((model) => model.tensors.has(name))),
  ];
  return { names, warnings, vocabularyRows };
}

/** Those that have an optional tensor must agree on it. */
function checkOptional(optional: ReadonlySet<string>, members: readonly AlignedModel[]): void {
  for (const name of optional) {
    const [first, ...others] = members.filter((model) => model.tensors.has(name));
    if (first === undefined) continue;
    const only = (one: string): boolean => one === name;
    const expected = { name: first.name, tensors: view(first, only) };
    for (const other of others) checkCompatibility(expected, { ...other, tensors: view(other, only) });
  }
}
