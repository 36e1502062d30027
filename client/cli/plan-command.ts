/** `tributary plan` and `merge --dry-run`: what a merge would do, before a byte is written. */

import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { engineText } from '../../shared/merge/model-card.js';
import type { MergePlan, PlannedTensor } from '../../shared/merge/types.js';
import { compositionText } from '../../shared/recipe/composition.js';
import { layerOf } from '../../shared/recipe/layers.js';
import type { AdapterOutput } from '../../shared/recipe/recipe.js';
import type { OfflineMergeOptions } from '../merge/merge-offline.js';
import type { OfflinePlan } from '../merge/offline-job.js';
import type { LocalContext } from './local-context.js';
import { table } from './table.js';
import { formatBytes, formatSeconds } from './units.js';

/** Lines of tensors on a screen; all of them with --format json. */
const LISTED = 40;

export async function showPlan({ io }: LocalContext, options: OfflineMergeOptions): Promise<void> {
  const { planOffline } = await import('../merge/offline-job.js');
  const { estimateFactorSeconds, estimateMatrixSeconds, estimateProductSeconds, estimateSeconds } = await import('../merge/estimate.js');
  const planned = await planOffline(options);
  const { adapter, plan } = planned;
  const { threads = 1 } = options;
  // An adapter is made of the vectors alone, most of which need not be written.
  const work = adapter?.dense ?? plan;
  const derived = work.tensors.filter((tensor) => tensor.derivation !== undefined).length;
  const engine = derived === 0 && adapter === undefined ? undefined : await options.findEngine?.();
  const ofMatrices = engine === undefined ? 0 : estimateMatrixSeconds(work, engine.choice.engine, threads);
  const ofFactors = engine === undefined || adapter === undefined ? 0 : estimateFactorSeconds(adapter, engine.choice.engine, threads);
  const worked = adapter === undefined ? derived : adapter.vector.products.size + adapter.vector.made.length;
  const matrices = engine === undefined ? undefined : { tensors: worked, engine };
  const seconds = (await estimateSeconds(work)) + estimateProductSeconds(work, threads) + ofMatrices + ofFactors;
  const totals = { ...work.totals, readBytes: adapter?.vector.readBytes ?? work.totals.readBytes };
  const shown = { ...planned, plan: { ...plan, totals } };
  io.result({ ...documentOf(shown, seconds), matrices }, textOf(shown, seconds, matrices));
}

interface Matrices {
  readonly tensors: number;
  readonly engine: FoundEngine;
}

function inputsOf(plan: MergePlan, tensor: PlannedTensor): string[] {
  const names = (tensor.derivation?.inputs ?? tensor.uses).map(({ input }) =>
    input < 0 ? (plan.baseName ?? 'base') : (plan.inputNames[input] ?? ''),
  );
  return [...new Set(names)];
}

function documentOf({ recipe, plan, adapter, warnings }: OfflinePlan, seconds: number): object {
  return {
    method: recipe.method,
    composition: recipe.rule,
    numerics: recipe.numerics,
    base: plan.baseName,
    models: plan.inputNames,
    totals: plan.totals,
    estimatedSeconds: seconds,
    adapter:
      adapter === undefined ? undefined : { ...adapter.size, products: [...adapter.vector.products.keys()], made: adapter.vector.made },
    files: plan.shards.map(({ fileName, sizeBytes }) => ({ name: fileName, sizeBytes })),
    tensors: plan.tensors.map((tensor) => {
      const { name, dtype, shape, sizeBytes, shard, action } = tensor;
      return { name, dtype, shape, sizeBytes, file: plan.shards[shard]?.fileName, action, inputs: inputsOf(plan, tensor) };
    }),
    warnings,
  };
}

/** Tensors that differ in nothing but their layer are one line. */
function rowsOf(plan: MergePlan): string[][] {
  const groups = new Map<string, { row: readonly string[]; name: string; layers: number[] }>();
  for (const tensor of plan.tensors) {
    const place = layerOf(tensor.name);
    const rest = place === undefined ? tensor.name : tensor.name.replace(`.${place.index}.`, '.*.');
    const row = [`[${tensor.shape.join(', ')}]`, tensor.dtype, tensor.action === 'merge' ? `${inputsOf(plan, tensor).length}` : 'copied'];
    const key = [rest, ...row].join('\n');
    const group = groups.get(key) ?? { row, name: rest, layers: [] };
    if (place !== undefined) group.layers.push(place.index);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ row, name, layers }) => {
    const [first, last] = [Math.min(...layers), Math.max(...layers)];
    return [
      layers.length === 0 ? name : name.replace('.*.', first === last ? `.${first}.` : `.${first}-${last}.`),
      `${Math.max(1, layers.length)}`,
      ...row,
    ];
  });
}

function sizeText({ rank, energy }: AdapterOutput): string {
  const parts = [
    ...(rank === undefined ? [] : [` of rank ${rank} at most`]),
    ...(energy === undefined ? [] : [` that keeps ${energy} of the squared singular values`]),
  ];
  return parts.length === 0 ? ' of whatever ranks are exact' : parts.join(',');
}

function textOf({ recipe, plan, adapter, warnings }: OfflinePlan, seconds: number, matrices: Matrices | undefined): string {
  const { totals } = plan;
  const rows = rowsOf(plan);
  const passes = totals.passes === 1 ? 'in one pass' : `in up to ${totals.passes} passes`;
  const lines = [
    `rule     ${recipe.method}: ${recipe.description.formula}`,
    `made of  ${compositionText(recipe.rule)}`,
    ...(plan.baseName === undefined ? [] : [`base     ${plan.baseName}`]),
    `models   ${plan.inputNames.join(', ')}`,
    `tensors  ${plan.tensors.length}, all fit together`,
    `read     ${formatBytes(totals.readBytes)} ${passes}`,
    ...(adapter === undefined
      ? [`write    ${formatBytes(totals.writeBytes)} in ${plan.shards.length === 1 ? 'one file' : `${plan.shards.length} files`}`]
      : [
          `output   a LoRA adapter${sizeText(adapter.size)}; changes of ${adapter.vector.products.size} tensors are added up as products, those of ${adapter.vector.made.length} are made first`,
        ]),
    ...(matrices === undefined
      ? []
      : [
          `matrices ${matrices.tensors} tensors are worked on whole, by ${engineText(matrices.engine)}`,
          ...matrices.engine.notes.map((note) => `         ${note}`),
        ]),
    `memory   about ${formatBytes(totals.peakMemoryBytes)}`,
    `time     about ${formatSeconds(seconds)}, from a quick measure of this machine`,
  ];
  const shown = table(['tensor', 'count', 'shape', 'stored as', 'inputs'], rows.slice(0, LISTED), [1]);
  const more = rows.length > LISTED ? `\nand ${rows.length - LISTED} more kinds (--format json lists every tensor)` : '';
  const warned = warnings.map((warning) => `\nwarning: ${warning}`).join('');
  return `${lines.join('\n')}\n\n${shown}${more}${warned === '' ? '' : `\n${warned}`}`;
}
