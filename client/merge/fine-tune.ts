/** A fine-tuned model and its base, brought to the same names, and what has to be known of them to make an adapter of their difference. */
import { readFile } from 'node:fs/promises';
import { isEmbedding, type SlotHint } from '../../shared/adapters/factor-slots.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Checkpoint, openCheckpoint } from '../../shared/formats/checkpoint.js';
import { isMergeDType, type StoredTensor, type TensorInfo, type TensorMap } from '../../shared/formats/tensor.js';
import { alignModels } from '../../shared/merge/align-models.js';
import { hashSegments } from '../../shared/merge/hash-segments.js';
import { named } from '../../shared/merge/merge-part.js';
import { adapterTraitsOf } from '../../shared/merge/model-config.js';
import { isUnchanged } from '../../shared/merge/unchanged.js';

export interface FineTune {
  readonly base: TensorMap;
  /** In the base's names; all with merge arithmetic that are not the base's very bytes. */
  readonly changed: TensorMap;
  /** Names of tensors without merge arithmetic that differ from the base's. */
  readonly others: readonly string[];
  /** Task in PEFT's words, when the base's configuration tells. */
  readonly taskType: string | undefined;
  readonly hints: ReadonlyMap<string, SlotHint>;
  /** Whether PEFT would find the matrix to lie as all others do. */
  readonly mayFactor: (tensor: TensorInfo) => boolean;
  readonly warnings: readonly string[];
}

export interface FineTunePaths {
  readonly tunedDir: string;
  readonly baseDir: string;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
}

/** Models of transformers with layers of the kind Conv1D, whose weights lie as (in, out), and the names of these. */
const CONV1D_MODELS: ReadonlySet<string> = new Set(['gpt2', 'openai-gpt', 'imagegpt', 'decision_transformer']);
const CONV1D = /\.(?:c_attn|q_attn|c_proj|c_fc)\.weight$/;

async function configOf({ sidecars }: Checkpoint): Promise<string | undefined> {
  const config = sidecars.find(({ name }) => name === 'config.json');
  return config === undefined ? undefined : readFile(config.path, 'utf8');
}

function align(
  { tunedDir, baseDir }: FineTunePaths,
  tuned: Checkpoint,
  base: Checkpoint,
): Pick<FineTune, 'warnings'> & { tensors: TensorMap } {
  const model = { name: tunedDir, kind: 'full', tensors: named(tuned.tensors) } as const;
  const reference = { name: baseDir, kind: 'full', tensors: named(base.tensors) } as const;
  const { warnings, vocabularyRows } = alignModels([model], reference, { toBase: true, strict: false });
  if (vocabularyRows !== undefined)
    throw new TributaryError('SHAPE_MISMATCH', {
      what: 'the vocabulary was enlarged, and the factors of an adapter have no place for new rows',
      where: tunedDir,
      expected: `${vocabularyRows} rows of embeddings, as in ${baseDir}`,
      fix: 'Resize the embeddings of the base to those of the fine-tuned model first.',
    });
  return { tensors: new Map([...model.tensors].map(([name, { tensor }]) => [name, tensor])), warnings };
}

const sameBytes = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && Buffer.compare(a, b) === 0;

async function differingOthers(tuned: TensorMap, base: TensorMap, { threads, signal }: FineTunePaths): Promise<string[]> {
  const pairs = [...tuned].flatMap(([name, tensor]): [string, StoredTensor, StoredTensor][] => {
    const from = base.get(name);
    return from === undefined || isMergeDType(from.dtype) || isUnchanged(tensor, from) ? [] : [[name, tensor, from]];
  });
  const digests = await hashSegments(
    pairs.flatMap(([, tensor, from]) => [tensor.segments, from.segments]),
    { threads, signal },
  );
  return pairs.flatMap(([name], index) => (sameBytes(digests[2 * index], digests[2 * index + 1]) ? [] : [name]));
}

/** @throws TENSOR_*, SHAPE_MISMATCH, DTYPE_MISMATCH, UNSUPPORTED_DTYPE when the two do not belong together, and as openCheckpoint */
export async function openFineTune(paths: FineTunePaths): Promise<FineTune> {
  const [tuned, base] = [await openCheckpoint(paths.tunedDir), await openCheckpoint(paths.baseDir)];
  const { tensors, warnings } = align(paths, tuned, base);
  const { modelType, taskType } = adapterTraitsOf(await configOf(base));
  const conv1d = modelType !== undefined && CONV1D_MODELS.has(modelType);
  const turned: SlotHint = { turned: true, embedding: false };
  return {
    base: base.tensors,
    changed: new Map([...tensors].filter(([name, tensor]) => isMergeDType(tensor.dtype) && !isUnchanged(tensor, base.tensors.get(name)))),
    others: await differingOthers(tensors, base.tensors, paths),
    taskType,
    hints: new Map(conv1d ? [...base.tensors.keys()].flatMap((name) => (CONV1D.test(name) ? [[name, turned]] : [])) : []),
    // One flag says for all of them how they lie, and PEFT goes by the kind of layer.
    mayFactor: ({ name, shape }) => !conv1d || CONV1D.test(name) || isEmbedding(name, shape),
    warnings,
  };
}
