/** One round's merge: the recipe and the accepted contributions become a plan (or three, with a server optimiser), and a folder with model card. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { adapterWords } from '../../shared/formats/adapter.js';
import { isSidecarName } from '../../shared/formats/sidecars.js';
import type { TensorMap } from '../../shared/formats/tensor.js';
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { adapterConfigOf, roundInput } from '../../shared/merge/contributions.js';
import { type CardSection, renderModelCard } from '../../shared/merge/model-card.js';
import { numHiddenLayersOf, withStoredDtype } from '../../shared/merge/model-config.js';
import { planMerge } from '../../shared/merge/plan.js';
import { serverRuleOf } from '../../shared/merge/plan-server.js';
import { type MergeProgress, runMerge } from '../../shared/merge/run-merge.js';
import { runServerMerge } from '../../shared/merge/server-merge.js';
import type { MergePlan } from '../../shared/merge/types.js';
import type { Recipe } from '../../shared/recipe/recipe.js';
import { type Artifact, type ArtifactFile } from '../../shared/transfer/artifact.js';
import type { ArtifactForm } from '../../shared/transfer/artifact-kind.js';
import { VERSION } from '../../shared/version.js';
import type { ModelRow } from '../models/model-store.js';
import type { Services } from '../services.js';
import { ChunkReader } from '../store/chunk-reader.js';
import { parseRoundRecipe } from './round-recipe.js';
import type { ContributionRow, RoundRow } from './round-store.js';
import { serverStateOf } from './server-memory.js';

/** What the model card calls contributions that are no whole models. */
const KIND_WORDS: Readonly<Record<ArtifactForm, string | undefined>> = {
  full: undefined,
  delta: 'difference',
  lora: undefined,
  low_rank: 'difference of low rank',
};

/** Lines of the model card's table: label and value. */
type Lineage = readonly (readonly [string, string])[];

/** Another model of the same contributions: one candidate of the round's study. */
export interface Variant {
  /** What the model card calls it. */
  readonly title: string;
  readonly recipe: Recipe;
  /** Tells it from other variants in the journal. */
  readonly identity: string;
  /** By contributor, for the card. */
  readonly weights: ReadonlyMap<string, string>;
  readonly lineage: Lineage;
  readonly sections: readonly CardSection[];
  /** Not worth an fsync: after a power cut it is merged again. */
  readonly isTemporary: boolean;
}

export interface RoundMerge {
  readonly services: Services;
  readonly round: RoundRow;
  /** Undefined: the model of the round itself. */
  readonly variant?: Variant | undefined;
  readonly baseModel: ModelRow;
  readonly base: TensorMap;
  readonly inputs: readonly { readonly row: ContributionRow; readonly tensors: TensorMap }[];
  /** Where the model is to stand; it does not exist yet. */
  readonly folder: string;
  /** For what is made on the way there. */
  readonly workDir: string;
  readonly signal: AbortSignal;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

export async function mergeRound(merge: RoundMerge): Promise<{ readBytes: number; writtenBytes: number }> {
  const { services, round, variant, baseModel } = merge;
  const recipe = variant?.recipe ?? parseRoundRecipe(round.recipe).recipe;
  const baseArtifact = services.models.artifact(baseModel.manifest_digest);
  const configText = await readSidecar(services, baseArtifact, 'config.json');
  const base = { name: baseModel.name, digest: baseModel.weights_digest, tensors: merge.base };
  const inputs = merge.inputs.map(({ row, tensors }) =>
    roundInput(recipe, base, {
      contributor: row.contributor,
      kind: row.kind,
      tensors,
      adapterConfig: adapterConfigOf(services.models.artifact(row.manifest_digest)),
      weightsDigest: row.weights_digest,
      samples: row.samples ?? undefined,
      steps: row.steps ?? undefined,
    }),
  );
  const kinds = merge.inputs.map(({ row }, index) => {
    const adapter = inputs[index]?.adapter;
    return adapter === undefined ? KIND_WORDS[row.kind] : adapterWords(adapter);
  });
  const request = {
    recipe,
    base,
    inputs,
    inRound: true,
    numHiddenLayers: configText === undefined ? undefined : numHiddenLayersOf(configText),
  };
  const options = {
    outputDir: merge.folder,
    threads: services.config.threads,
    durable: variant?.isTemporary !== true,
    findEngine: services.findEngine,
    inputIdentity: [
      baseModel.weights_digest,
      ...merge.inputs.map(({ row }) => row.weights_digest),
      ...(variant === undefined ? [] : [variant.identity]),
    ].join(' '),
    signal: merge.signal,
    onProgress: ({ doneBytes, totalBytes }: MergeProgress) => merge.onProgress(doneBytes, totalBytes),
  };
  const writeExtras = async (folder: string, plan: MergePlan, lineage: Lineage, engine?: FoundEngine): Promise<void> => {
    for (const file of baseArtifact.files) {
      if (!isSidecarName(file.path)) continue;
      const content = await readFileOf(services, file);
      const isConfig = file.path === 'config.json' && plan.dtype !== undefined;
      await writeFile(join(folder, file.path), isConfig ? withStoredDtype(content.toString('utf8'), plan.dtype) : content);
    }
    await writeFile(join(folder, 'README.md'), card(merge, kinds, recipe, plan, lineage, engine));
  };
  const rule = serverRuleOf(recipe);
  if (rule !== undefined) {
    const { state, words } = await serverStateOf(services, baseModel, rule.optimizer);
    return runServerMerge({
      rule,
      request,
      old: state,
      workDir: merge.workDir,
      options,
      writeExtras: (folder, plan) => writeExtras(folder, plan, [['Server optimiser', words]]),
    });
  }
  const plan = planMerge(request);
  await runMerge(plan, { ...options, writeExtras: (folder, engine) => writeExtras(folder, plan, [], engine) });
  return { readBytes: plan.totals.readBytes, writtenBytes: plan.totals.writeBytes };
}

function card(
  merge: RoundMerge,
  kinds: readonly (string | undefined)[],
  recipe: Recipe,
  plan: MergePlan,
  lineage: Lineage,
  engine?: FoundEngine,
): string {
  const { round, variant, baseModel } = merge;
  return renderModelCard({
    title: variant?.title ?? round.name,
    recipe,
    base: { name: baseModel.name, digest: baseModel.weights_digest },
    models: merge.inputs.map(({ row }, index) => ({
      name: row.contributor,
      kind: kinds[index],
      weight: variant?.weights.get(row.contributor),
      samples: row.samples ?? undefined,
      steps: row.steps ?? undefined,
      digest: row.weights_digest,
    })),
    dtype: plan.dtype,
    version: VERSION,
    nodeVersion: process.versions.node,
    warnings: [...recipe.warnings, ...plan.warnings],
    engine,
    lineage: [
      ['Round', round.name],
      ['Model version', `${baseModel.version + 1} (${baseModel.name} is ${baseModel.version})`],
      ...lineage,
      ...(variant?.lineage ?? []),
    ],
    sections: variant?.sections,
  });
}

async function readSidecar(services: Services, artifact: Artifact, path: string): Promise<string | undefined> {
  const file = artifact.files.find((candidate) => candidate.path === path);
  return file === undefined ? undefined : (await readFileOf(services, file)).toString('utf8');
}

async function readFileOf(services: Services, file: ArtifactFile): Promise<Buffer> {
  const bytes = Buffer.alloc(file.sizeBytes);
  const reader = new ChunkReader(services.chunks);
  try {
    for (const chunk of file.chunks) await reader.read(chunk.digest, 0, bytes.subarray(chunk.offset, chunk.offset + chunk.length));
  } finally {
    await reader.close();
  }
  return bytes;
}
