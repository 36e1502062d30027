/**
 * `npm run bench -- digits-front [--levels 5]`: the fronts that MAP, Bayesian MAP and Nested MAP serve for the demo's four teams, against a grid of measured
 * merges. Everything is measured on validation digits, in this process: a candidate is base + sum of coefficient x task vector, as task arithmetic has it.
 */

import { openBackend } from '../../client/train/backend.js';
import { DEMO_PLAN } from '../../client/train/demo-plan.js';
import { loadDigits } from '../../client/train/digits.js';
import { DOMAINS } from '../../client/train/domains.js';
import { addTaskVectors } from '../../client/train/experiment.js';
import type { Network } from '../../client/train/network.js';
import { BASE_DEFAULTS, evaluate, FINE_TUNE_DEFAULTS, fineTune, type TrainContext, trainBase } from '../../client/train/tasks.js';
import { nextBatch } from '../../shared/pareto/designs/next-batch.js';
import { nonDominated } from '../../shared/pareto/dominance.js';
import { fitSurrogates } from '../../shared/pareto/fit-surrogates.js';
import { hypervolume } from '../../shared/pareto/hypervolume.js';
import { generationalDistance, winRate } from '../../shared/pareto/indicators.js';
import { searchFront } from '../../shared/pareto/search-front.js';
import type { Budget, Direction, MeasuredCandidate, Method, StudySpec } from '../../shared/pareto/study.js';

const [LOWER, UPPER] = DEMO_PLAN.map.coefficients;
/** The number of merges that the MAP paper's table has for four tasks. */
const CANDIDATES = 60;
const TASKS = DOMAINS.length;
const DIRECTIONS: readonly Direction[] = DOMAINS.map(() => 'maximize');

type Metrics = readonly number[];

/** Accuracies on each kind of digits, each merge measured once. */
type Measure = (coefficients: readonly number[]) => Promise<Metrics>;

async function trainTeams(context: TrainContext): Promise<Measure> {
  const { seed, contributors } = DEMO_PLAN;
  const base = (await trainBase(context, { ...BASE_DEFAULTS, seed })).model;
  const networks: Network[] = [];
  for (const { domain } of contributors)
    networks.push((await fineTune(context, base, { ...FINE_TUNE_DEFAULTS, seed, domain })).model.network);
  const known = new Map<string, Metrics>();
  return async (coefficients) => {
    const key = coefficients.join(' ');
    const network = addTaskVectors(base.network, networks, coefficients);
    const metrics =
      known.get(key) ?? (await evaluate(context, { ...base, network }, DOMAINS, 'validation')).scores.map(({ accuracy }) => accuracy);
    known.set(key, metrics);
    return metrics;
  };
}

function specOf(method: Method, budget: Budget): StudySpec {
  return {
    tasks: DOMAINS.map((name) => ({ name, metric: 'accuracy', direction: 'maximize', lower: 0, upper: 1 })),
    method,
    budget,
    sampler: 'sobol',
    seed: DEMO_PLAN.seed,
    preferences: new Map(),
    greedySoup: false,
    surrogate: { link: 'auto', ridge: 'auto', minR2: 0.2 },
    contributors: DOMAINS,
    dimensions: DOMAINS.map((name) => ({ name, contributor: name, lower: LOWER, upper: UPPER, neutral: 1 })),
  };
}

/** Plays the coordinator and its agents. */
async function play(spec: StudySpec, measure: Measure): Promise<{ history: MeasuredCandidate[]; evaluations: number }> {
  const history: MeasuredCandidate[] = [];
  let evaluations = 0;
  for (let batch = 0; ; batch++) {
    const proposals = nextBatch(spec, history);
    if (proposals.length === 0) return { history, evaluations };
    for (const proposal of proposals) {
      const metrics = await measure(proposal.coefficients);
      const asked = proposal.tasks ?? DOMAINS.map((_, task) => task);
      evaluations += asked.length;
      const measured = metrics.map((value, task) => (asked.includes(task) ? { value, count: 600 } : undefined));
      history.push({ ...proposal, id: history.length, batch, measured });
    }
  }
}

const front = (points: readonly Metrics[]): Metrics[] => nonDominated(points, DIRECTIONS).map((index) => points[index] as Metrics);

const column = (values: readonly number[], digits = 3): string => values.map((value) => value.toFixed(digits)).join(' ');

async function compare(name: string, spec: StudySpec, measure: Measure, grid: readonly Metrics[], worst: Metrics): Promise<void> {
  const { history, evaluations } = await play(spec, measure);
  const started = performance.now();
  const surrogates = fitSurrogates(spec, history);
  const served = surrogates.every(({ quality }) => quality.usable);
  const predicted = served ? searchFront(spec, surrogates).points.map(({ coefficients }) => coefficients) : [];
  const seconds = (performance.now() - started) / 1000;
  const measured = history
    .filter((candidate) => candidate.measured.every((one) => one !== undefined))
    .map(({ coefficients }) => coefficients);
  const points: Metrics[] = [];
  for (const coefficients of served ? predicted : measured) points.push(await measure(coefficients));
  const ours = front(points);
  const theirs = front(grid);
  const ratio = hypervolume(ours, worst, DIRECTIONS).value / hypervolume(theirs, worst, DIRECTIONS).value;
  const mean = (metrics: Metrics): number => metrics.reduce((sum, value) => sum + value, 0) / TASKS;
  const best = (all: readonly Metrics[], of: (metrics: Metrics) => number): string => (100 * Math.max(...all.map(of))).toFixed(1);
  console.log(
    [
      name,
      `  ${history.length} candidates, ${evaluations} evaluations; ${served ? `${predicted.length} points served` : 'surrogates refused: the measured points are served'}; fit and front ${seconds.toFixed(2)} s`,
      `  R2 ${column(surrogates.map(({ quality }) => quality.r2))}   held out ${column(surrogates.map(({ quality }) => quality.heldOutR2))}   links ${surrogates.map(({ link }) => link).join(' ')}`,
      `  generational distance ${generationalDistance(ours, theirs).toFixed(4)}   hypervolume ratio ${ratio.toFixed(3)}   win rate ${(100 * winRate(ours, theirs, DIRECTIONS)).toFixed(1)} % (the grid's over it ${(100 * winRate(theirs, ours, DIRECTIONS)).toFixed(1)} %)`,
      `  best average ${best(ours, mean)} (grid ${best(theirs, mean)})   best worst case ${best(ours, (metrics) => Math.min(...metrics))} (grid ${best(theirs, (metrics) => Math.min(...metrics))})`,
    ].join('\n'),
  );
}

export async function benchDigitsFront(args: readonly string[]): Promise<void> {
  const levels = args[0] === '--levels' ? Number(args[1]) : 5;
  const [backend, digits] = await Promise.all([openBackend(), loadDigits()]);
  const measure = await trainTeams({ backend, digits });
  const steps = Array.from({ length: levels }, (_, index) => LOWER + (index * (UPPER - LOWER)) / (levels - 1));
  const corners = DOMAINS.reduce<number[][]>((all) => all.flatMap((one) => steps.map((step) => [...one, step])), [[]]);
  const grid: Metrics[] = [];
  for (const coefficients of corners) grid.push(await measure(coefficients));
  const worst = DOMAINS.map((_, task) => Math.min(...grid.map((metrics) => metrics[task] ?? 0)));
  console.log(
    `grid: ${grid.length} merges with coefficients ${column(steps, 2)}, ${grid.length * TASKS} evaluations, ${front(grid).length} of them on its front; tasks ${DOMAINS.join(' ')}\n`,
  );
  const all = CANDIDATES * TASKS;
  await compare('MAP', specOf('map', { kind: 'candidates', candidates: CANDIDATES }), measure, grid, worst);
  await compare(
    'Bayesian MAP, half of the budget',
    specOf('bayesian', { kind: 'evaluations', evaluations: all / 2 }),
    measure,
    grid,
    worst,
  );
  await compare(
    'Nested MAP, a quarter of the budget',
    specOf('nested', { kind: 'evaluations', evaluations: all / 4 }),
    measure,
    grid,
    worst,
  );
}
