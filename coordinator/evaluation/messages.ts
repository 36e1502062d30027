/** Studies and candidates as gRPC messages. */
import { deserializeError, type SerializedError } from '../../shared/errors/tributary-error.js';
import {
  type Candidate,
  CandidateAccess,
  CandidateKind,
  type Measurement,
  MetricDirection,
  Study,
  type StudyContribution,
  type StudyDimension,
  StudyState,
  type StudyTask,
  type TaskProgress,
} from '../../shared/generated/tributary/v1/evaluations.js';
import { idleTasks } from '../../shared/grpc/idle-tasks.js';
import { plannedCandidates } from '../../shared/pareto/designs/next-batch.js';
import type { Dimension, CandidateKind as KindName, StudySpec, Task } from '../../shared/pareto/study.js';
import { mapsRatios } from '../../shared/recipe/map-block.js';
import type { Services } from '../services.js';
import type { KnownStudy } from './known-studies.js';
import { contributionReference } from './references.js';
import type { StudyState as StateName } from './states.js';
import type { PairRow, StudyRow, TaskCounts } from './study-rows.js';

const MINUTE_MS = 60_000;

/** The pace is that of the newest reports. */
const REPORTS_OF_PACE = 32;

const STATES: Record<StateName, StudyState> = {
  evaluating: StudyState.EVALUATING,
  complete: StudyState.COMPLETE,
  stopped: StudyState.STOPPED,
};

const KINDS: Record<KindName, CandidateKind> = {
  base: CandidateKind.BASE,
  single: CandidateKind.SINGLE,
  average: CandidateKind.AVERAGE,
  sample: CandidateKind.SAMPLE,
  adaptive: CandidateKind.ADAPTIVE,
  soup: CandidateKind.SOUP,
  materialised: CandidateKind.MATERIALISED,
  result: CandidateKind.RESULT,
};

export const toCandidateKind = (kind: KindName): CandidateKind => KINDS[kind];

export const toStudyState = (state: StateName): StudyState => STATES[state];

export function taskMessage({ name, metric, direction, lower, upper, owner = '' }: Task): StudyTask {
  return { name, metric, direction: direction === 'maximize' ? MetricDirection.MAXIMIZE : MetricDirection.MINIMIZE, lower, upper, owner };
}

export function dimensionMessage({ name, contributor = '', anchor, lower, upper, neutral }: Dimension): StudyDimension {
  return { name, contributor, anchor, lower, upper, neutral };
}

/** Whether gradients of this task are of use: entropies are what adamerging goes down on. */
export function wantsGradient({ method, tasks }: StudySpec, task: number): boolean {
  return method === 'adamerging' && tasks[task]?.metric === 'entropy';
}

export function studyMessage(services: Services, known: KnownStudy): Study {
  const { round, map, spec } = known;
  return {
    ...studyProgress(services, known),
    recipe: round.recipe,
    contributions: known.contributions.map(
      (row): StudyContribution => ({
        contributor: row.contributor,
        model: map.access === 'local' ? contributionReference(round.name, row.contributor) : '',
        kind: row.kind,
        manifestDigest: row.manifest_digest,
        weightsDigest: row.weights_digest,
        samples: row.samples === null ? undefined : BigInt(row.samples),
        steps: row.steps === null ? undefined : BigInt(row.steps),
      }),
    ),
    wantsGradients: spec.tasks.some((_, task) => wantsGradient(spec, task)),
  };
}

/** What changes while agents measure; a round shows it without the recipe and the contributions, which it has itself. */
export function studyProgress(services: Services, known: KnownStudy): Study {
  const { round, map, spec } = known;
  const study = services.studies.get(round.name);
  const counts = services.studies.counts(round.name);
  const progress = spec.tasks.map(({ name }, task): TaskProgress => {
    const { done = 0, leased = 0, open = 0, failed = 0 } = counts.find((one) => one.task === task) ?? {};
    const askedMs = services.desk.lastAskedMs(round.name, task);
    return { task: name, done, leased, open, failed, lastAskedAt: askedMs === undefined ? undefined : new Date(askedMs) };
  });
  const candidates = services.studies.countCandidates(round.name);
  const planned = plannedCandidates(spec) ?? 0;
  return Study.fromPartial({
    round: round.name,
    state: STATES[study.state],
    baseName: round.base_name,
    baseDigest: round.base_digest,
    access: map.access === 'local' ? CandidateAccess.LOCAL : CandidateAccess.SERVED,
    dimensions: spec.dimensions.map(dimensionMessage),
    tasks: spec.tasks.map(taskMessage),
    progress,
    method: spec.method,
    candidates,
    plannedCandidates: planned,
    secondsLeft: secondsLeft(services, study, spec, counts, Math.max(0, planned - candidates)),
    leaseSeconds: services.config.leaseSeconds,
    createdAt: new Date(study.created_ms),
    ...(study.ended_ms === null ? {} : { endedAt: new Date(study.ended_ms) }),
    warnings: warningsOf(services, study, known, progress),
  });
}

/** At the pace of the newest reports; undefined before there are two, and when nothing is left to do. */
function secondsLeft(
  { studies, nowMs }: Services,
  study: StudyRow,
  { budget, tasks }: StudySpec,
  counts: readonly TaskCounts[],
  candidatesToCome: number,
): number | undefined {
  if (study.state !== 'evaluating') return undefined;
  if (budget?.kind === 'minutes') return Math.max(0, study.created_ms + budget.minutes * MINUTE_MS - nowMs()) / 1000;
  const reports = studies.lastReports(study.round, REPORTS_OF_PACE);
  const oldest = reports.at(-1);
  if (oldest === undefined || reports.length < 2) return undefined;
  const pairs = counts.reduce((sum, { open, leased }) => sum + open + leased, candidatesToCome * tasks.length);
  return ((nowMs() - oldest) / (reports.length - 1) / 1000) * pairs;
}

const errorOf = (json: string) => deserializeError(JSON.parse(json) as SerializedError);

function warningsOf(
  services: Services,
  study: StudyRow,
  { recipe, spec: { tasks } }: KnownStudy,
  progress: readonly TaskProgress[],
): string[] {
  const warnings: string[] = [];
  if (study.error !== null) warnings.push(`the next candidates could not be computed: ${errorOf(study.error).message}`);
  if (mapsRatios(recipe))
    warnings.push(
      `${recipe.description.name} divides by the sum of the weights, so metrics depend on their ratios alone, which quadratics fit badly: trust measured points, or map a rule that does not divide (task_arithmetic, or normalize: false)`,
    );
  const givenUp = progress.some(({ failed }) => failed > 0) ? services.studies.givenUp(study.round) : [];
  for (const [task, { name }] of tasks.entries()) {
    const own = givenUp.filter((pair) => pair.task === task);
    const last: PairRow | undefined = own.at(-1);
    if (last?.error === undefined || last.error === null) continue;
    warnings.push(
      `${name}: ${own.length} candidate${own.length === 1 ? '' : 's'} given up; the last error: ${errorOf(last.error).message}`,
    );
  }
  for (const [task, { name }] of tasks.entries()) {
    const error =
      study.state === 'evaluating' && services.studies.isBroken(study.round, task)
        ? services.studies.lastError(study.round, task)
        : undefined;
    if (error !== undefined)
      warnings.push(
        `${name}: every measurement fails, so the study waits for a repaired evaluator; the last error: ${errorOf(error).message}`,
      );
  }
  for (const name of idleTasks({ state: toStudyState(study.state), progress: [...progress] }, services.nowMs())) {
    const owner = tasks.find((task) => task.name === name)?.owner;
    warnings.push(
      `${name} is idle: ${owner === undefined ? 'no agent' : `the agent of ${owner}, which alone may measure it, does not`} ask${owner === undefined ? 's' : ''} for it`,
    );
  }
  return [...warnings, ...services.fronts.warnings(study.round)];
}

export function measurementMessage(pair: PairRow, { tasks }: StudySpec): Measurement {
  return {
    task: tasks[pair.task]?.name ?? '',
    value: pair.value ?? Number.NaN,
    count: BigInt(pair.count ?? 0),
    standardError: pair.standard_error ?? undefined,
    agent: pair.agent ?? '',
    reportedAt: new Date(pair.reported_ms ?? 0),
  };
}

/** What agents measured, by number of candidate, in the order of the tasks. */
export function measurementsOf({ studies }: Services, { round, spec }: KnownStudy): Map<number, Measurement[]> {
  const measurements = new Map<number, Measurement[]>();
  for (const pair of studies.pairs(round.name)) {
    if (pair.status !== 'done') continue;
    const own = measurements.get(pair.candidate);
    if (own === undefined) measurements.set(pair.candidate, [measurementMessage(pair, spec)]);
    else own.push(measurementMessage(pair, spec));
  }
  return measurements;
}

export function candidateMessages(services: Services, known: KnownStudy): Candidate[] {
  const measurements = measurementsOf(services, known);
  return services.studies.candidates(known.round.name, known.spec.tasks.length).map(({ id, kind, label = '', coefficients }) => ({
    id,
    kind: KINDS[kind],
    label,
    coefficients: [...coefficients],
    measurements: measurements.get(id) ?? [],
  }));
}
