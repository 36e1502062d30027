/**
 * The demo's training without its coordinator: base, contributions and merges in one process and in memory, so that the plan's choices
 * (and the lambda of task arithmetic, on the validation split) can be measured for any seed by one command.
 */

import { DEMO_PLAN, type WeightedSumRecipe } from './demo-plan.js';
import type { HeldOutSplit } from './digits.js';
import { DOMAINS } from './domains.js';
import type { Network } from './network.js';
import type { ScoreRow, ScoreTable } from './score-table.js';
import { BASE_DEFAULTS, evaluate, FINE_TUNE_DEFAULTS, fineTune, type TrainContext, trainBase } from './tasks.js';

export interface ExperimentOptions {
  readonly seed: number;
  readonly split: HeldOutSplit;
  readonly recipes: readonly WeightedSumRecipe[];
}

/** @throws NON_FINITE, INTERRUPTED */
export async function runExperiment(context: TrainContext, options: ExperimentOptions): Promise<ScoreTable> {
  const { seed, split } = options;
  const base = (await trainBase(context, { ...BASE_DEFAULTS, seed })).model;
  const rows: ScoreRow[] = [{ name: 'base', role: 'base', ...(await evaluate(context, base, DOMAINS, split)) }];
  const contributions: Network[] = [];
  const samples: number[] = [];
  for (const { name, domain } of DEMO_PLAN.contributors) {
    const { model, stage } = await fineTune(context, base, { ...FINE_TUNE_DEFAULTS, seed, domain });
    contributions.push(model.network);
    samples.push(stage.samples);
    rows.push({ name: `${name} (${domain})`, role: 'contribution', ...(await evaluate(context, model, DOMAINS, split)) });
  }
  for (const recipe of options.recipes) {
    const network = addTaskVectors(base.network, contributions, recipe.coefficients(samples));
    rows.push({ name: recipe.name, role: 'merged', ...(await evaluate(context, { ...base, network }, DOMAINS, split)) });
  }
  return { domains: DOMAINS, split, rows };
}

/** base + sum over contributions of coefficient x (contribution - base). */
export function addTaskVectors(base: Network, contributions: readonly Network[], coefficients: readonly number[]): Network {
  const merge = (from: Float32Array, others: readonly Float32Array[]): Float32Array =>
    from.map((value, at) =>
      others.reduce((sum, other, index) => sum + (coefficients[index] as number) * ((other[at] as number) - value), value),
    );
  const layers = base.layers.map(({ weight, bias }, index) => ({
    weight: merge(
      weight,
      contributions.map(({ layers: own }) => own[index]?.weight as Float32Array),
    ),
    bias: merge(
      bias,
      contributions.map(({ layers: own }) => own[index]?.bias as Float32Array),
    ),
  }));
  return { layerSizes: base.layerSizes, layers };
}
