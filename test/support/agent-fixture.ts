/** A federation of tiny models on disk, an evaluator whose number is known from the weights, and an agent in this process. */
import { join } from 'node:path';
import type { AgentReport } from '../../client/agent/agent-report.js';
import type { PairResult } from '../../client/agent/measure-candidate.js';
import type { CacheState } from '../../client/agent/prune-cache.js';
import type { LeftResult } from '../../client/agent/report-left.js';
import { type AgentOptions, runAgent } from '../../client/agent/run-agent.js';
import type { KeptMeasurement } from '../../client/agent/unreported.js';
import { openWorkFolder } from '../../client/agent/work-folder.js';
import { connect } from '../../client/api/connection.js';
import type { EvaluationJob, EvaluationOutcome, Evaluator } from '../../client/evaluate/evaluator.js';
import type { TributaryError } from '../../shared/errors/tributary-error.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { CandidateAccess, MetricDirection, type Study } from '../../shared/generated/tributary/v1/evaluations.js';
import { compileKernels, instantiateKernels } from '../../shared/kernels/kernels.js';
import { PORTABLE } from '../../shared/merge/carry-out.js';
import { readValues } from '../../shared/merge/read-values.js';
import { dimensionsOf } from '../../shared/recipe/map-block.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { writeAdapter } from './adapters.js';
import type { FakeModel } from './fake-study.js';
import { type Model, toTensors } from './merge-fixture.js';
import { stream } from './random-models.js';
import { writeCheckpoint } from './write-checkpoint.js';

export const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'model.embed.weight': [12, 8],
  'model.layers.0.mlp.weight': [8, 10],
  'model.layers.1.mlp.weight': [8, 10],
  'model.norm.weight': [10],
};

/** Random numbers, or numbers near to those of another model. `unchanged` tensors are the other's own. */
export function tinyModel(seed: number, near?: Model, unchanged: readonly string[] = []): Model {
  const next = stream(seed);
  return Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => {
      const other = near?.[name];
      const from = other === undefined || 'bytes' in other ? undefined : other.values;
      const count = shape.reduce((product, size) => product * size, 1);
      const drawn = Array.from({ length: count }, () => next() - 0.5);
      const values = unchanged.includes(name) ? (from ?? drawn) : drawn.map((value, index) => Math.fround((from?.[index] ?? 0) + value));
      return [name, { dtype: 'F32' as const, shape, values }];
    }),
  );
}

export interface TinyFederation {
  readonly models: ReadonlyMap<string, FakeModel>;
  readonly study: Partial<Study> & Pick<Study, 'round' | 'dimensions'>;
}

/** Contributions of alice and bob (full) and carol (an adapter), under the names that a study of the round has for them. */
export function tinyFederation(
  root: string,
  { recipe, round = 'spring', tasks = ['legal', 'code'] }: { recipe: string; round?: string; tasks?: readonly string[] },
): TinyFederation {
  const base = tinyModel(1);
  const write = (name: string, model: Model): string =>
    writeCheckpoint(join(root, name), toTensors(model), { 'config.json': '{"num_hidden_layers": 2}', 'tokenizer.json': '{}' });
  const adapter = { config: { r: 2, lora_alpha: 4 }, factors: [{ module: 'model.layers.1.mlp', rank: 2, scale: 2 }], seed: 5 };
  const models = new Map<string, FakeModel>([
    ['base', { folder: write('base', base), kind: 'full' }],
    [`rounds/${round}/alice`, { folder: write('alice', tinyModel(2, base, ['model.norm.weight'])), kind: 'full' }],
    [`rounds/${round}/bob`, { folder: write('bob', tinyModel(3, base)), kind: 'full' }],
    [`rounds/${round}/carol`, { folder: writeAdapter(join(root, 'carol'), base, adapter), kind: 'lora' }],
  ]);
  const contributors = ['alice', 'bob', 'carol'];
  const text = `${recipe}\nmap: {tasks: {${tasks.map((task) => `${task}: {metric: score, direction: maximize}`).join(', ')}}}\n`;
  const parsed = parseRecipe(text, { fileName: 'recipe' });
  const dimensions = parsed.map === undefined ? [] : dimensionsOf(parsed, parsed.map, contributors);
  return {
    models,
    study: {
      round,
      baseName: 'base',
      recipe: text,
      access: CandidateAccess.LOCAL,
      method: 'map',
      contributions: contributors.map((contributor) => ({
        contributor,
        model: `rounds/${round}/${contributor}`,
        kind: contributor === 'carol' ? 'lora' : 'full',
        manifestDigest: '',
        weightsDigest: '',
        samples: 10n,
        steps: undefined,
      })),
      dimensions: dimensions.map(({ name, contributor = '', anchor, lower, upper, neutral }) => ({
        name,
        contributor,
        anchor,
        lower,
        upper,
        neutral,
      })),
      tasks: tasks.map((name) => ({
        name,
        metric: 'score',
        direction: MetricDirection.MAXIMIZE,
        lower: undefined,
        upper: undefined,
        owner: '',
      })),
    },
  };
}

/** A number that every weight of a model changes: their sum, each with a sign and size of its own. */
export async function scoreOf(folder: string): Promise<number> {
  const kernels = instantiateKernels(await compileKernels());
  const { tensors } = await openCheckpoint(folder);
  let score = 0;
  let place = 0;
  for (const [, tensor] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1)))
    for (const value of readValues(kernels, tensor)) score += value * Math.sin(++place);
  return score;
}

export type Evaluation = (job: EvaluationJob) => Promise<EvaluationOutcome>;

export const score: Evaluation = async ({ folder }) => {
  const value = await scoreOf(folder);
  return { value, count: 7, standardError: 0.5, metrics: { score: value } };
};

export const evaluatorOf = (evaluate: Evaluation): Evaluator => ({ name: 'of a test', evaluate, close: () => Promise.resolve() });

export interface RunningAgent {
  readonly done: Promise<AgentReport>;
  readonly results: readonly PairResult[];
  readonly fetched: readonly string[];
  readonly lost: () => number;
  /** Rounds of studies that go on without it. */
  readonly foreign: readonly string[];
  /** What an earlier agent left, by `ROUND CANDIDATE TASK`. */
  readonly left: readonly (readonly [string, LeftResult])[];
  readonly cache: readonly CacheState[];
  readonly notKept: readonly TributaryError[];
  readonly unreported: readonly KeptMeasurement[];
  stop(): Promise<AgentReport>;
}

export interface StartAgent
  extends Partial<Pick<AgentOptions, 'agent' | 'rounds' | 'parallel' | 'once' | 'giveUpAfterMs' | 'cacheLimits'>> {
  readonly server: string;
  readonly work: string;
  readonly evaluate?: Evaluation;
  /** In the place of `evaluate` for each of `tasks`. */
  readonly evaluators?: ReadonlyMap<string, Evaluator>;
  readonly tasks?: readonly string[];
  readonly keepLogs?: number;
}

export async function startAgent(options: StartAgent): Promise<RunningAgent> {
  const {
    server,
    work: path,
    evaluate = score,
    tasks = ['legal', 'code'],
    agent = 'tester',
    rounds,
    parallel = 1,
    once = true,
    keepLogs = 100,
    giveUpAfterMs = 30_000,
    cacheLimits = { sizeBytes: Infinity, unusedMs: Infinity },
    evaluators = new Map(tasks.map((task) => [task, evaluatorOf(evaluate)])),
  } = options;
  const connection = connect({ server });
  const work = await openWorkFolder(path, keepLogs);
  const stop = new AbortController();
  const results: PairResult[] = [];
  const fetched: string[] = [];
  const foreign: string[] = [];
  const left: [string, LeftResult][] = [];
  const cache: CacheState[] = [];
  const notKept: TributaryError[] = [];
  const unreported: KeptMeasurement[] = [];
  let lost = 0;
  const done = runAgent({
    connection,
    agent,
    rounds,
    evaluators,
    work,
    cacheLimits,
    parallel,
    once,
    giveUpAfterMs,
    threads: 1,
    findEngine: async () => PORTABLE,
    patience: { withoutProgressMs: 30_000, onRetry: () => {} },
    stop: stop.signal,
    events: {
      onStudies: (_, others) => void foreign.push(...others.map(({ round }) => round)),
      onLeft: ({ round, candidate, task }, result) => void left.push([`${round} ${candidate} ${task}`, result]),
      onCache: (state) => void cache.push(state),
      onFetch: (name) => void fetched.push(name),
      onFetchProgress: () => {},
      onResult: (_, result) => void results.push(result),
      onLost: () => {
        lost += 1;
      },
      onNotKept: (error) => void notKept.push(error),
      onUnreported: (kept) => void unreported.push(...kept),
    },
  }).finally(async () => {
    await work.close();
    connection.close();
  });
  done.catch(() => undefined);
  return {
    done,
    results,
    fetched,
    lost: () => lost,
    foreign,
    left,
    cache,
    notKept,
    unreported,
    stop() {
      stop.abort(new Error('stopped by a test'));
      return done;
    },
  };
}
