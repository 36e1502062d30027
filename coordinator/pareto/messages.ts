/** Fronts, points and materialisations as gRPC messages. */
import { deserializeError, type SerializedError } from '../../shared/errors/tributary-error.js';
import type { Measurement } from '../../shared/generated/tributary/v1/evaluations.js';
import {
  Front,
  FrontState,
  Materialisation,
  MaterialisationState,
  Point,
  type SurrogateQuality,
} from '../../shared/generated/tributary/v1/pareto.js';
import { toErrorInfo } from '../../shared/grpc/error-trailer.js';
import { isInBox } from '../../shared/pareto/fit-surrogates.js';
import type { MeasuredCandidate, PredictedFront, PredictedPoint, StudySpec, Surrogate } from '../../shared/pareto/study.js';
import { predictPoint } from '../../shared/pareto/surrogate.js';
import type { KnownStudy } from '../evaluation/known-studies.js';
import {
  dimensionMessage,
  measurementMessage,
  measurementsOf,
  taskMessage,
  toCandidateKind,
  toStudyState,
} from '../evaluation/messages.js';
import type { Services } from '../services.js';
import type { Fit, FitState } from './fit.js';
import type { HeldFront } from './fronts.js';
import type { MaterialisationRow } from './materialisation-store.js';

const STATES: Record<FitState, FrontState> = {
  measuring: FrontState.MEASURING,
  serving: FrontState.SERVING,
  measured_only: FrontState.MEASURED_ONLY,
};

const MATERIALISATION_STATES: Record<MaterialisationRow['state'], MaterialisationState> = {
  evaluating: MaterialisationState.EVALUATING,
  merging: MaterialisationState.MERGING,
  published: MaterialisationState.PUBLISHED,
  failed: MaterialisationState.FAILED,
};

export function predictedMessage(point: PredictedPoint): Point {
  return Point.fromPartial({
    coefficients: [...point.coefficients],
    predicted: [...point.predicted],
    predictedErrors: [...point.predictedErrors],
  });
}

export interface MeasuredFacts {
  readonly dominated: boolean;
  readonly measured: readonly Measurement[];
  /** Name of the model it was published as. */
  readonly model: string;
}

/** What the surrogates say of a point; undefined when they do not serve, or it lies outside of the box that they know. */
export function predictionOf(
  { dimensions }: Pick<StudySpec, 'dimensions'>,
  fit: Fit | undefined,
  coefficients: readonly number[],
): PredictedPoint | undefined {
  return fit?.state === 'serving' && isInBox(dimensions, coefficients) ? predictPoint(fit.surrogates, coefficients) : undefined;
}

/** A candidate beside what the surrogates say of it. */
export function measuredMessage(spec: StudySpec, candidate: MeasuredCandidate, fit: Fit | undefined, facts: MeasuredFacts): Point {
  const predicted = predictionOf(spec, fit, candidate.coefficients);
  return Point.fromPartial({
    coefficients: [...candidate.coefficients],
    predicted: [...(predicted?.predicted ?? [])],
    predictedErrors: [...(predicted?.predictedErrors ?? [])],
    measured: [...facts.measured],
    dominated: facts.dominated,
    kind: toCandidateKind(candidate.kind),
    label: candidate.label ?? '',
    candidate: candidate.id,
    model: facts.model,
  });
}

function qualityMessage({ link, quality }: Surrogate, task: string): SurrogateQuality {
  return { ...quality, task, link, reason: quality.reason ?? '' };
}

function solverFields({ solver, hypervolume, referencePoint, points }: PredictedFront): Partial<Front> {
  return {
    solver,
    gradientHypervolume: hypervolume.gradient,
    nsga3Hypervolume: hypervolume.nsga3,
    referencePoint: [...referencePoint],
    predicted: points.map(predictedMessage),
  };
}

export function frontMessage(services: Services, known: KnownStudy, held: HeldFront): Front {
  const { round, spec } = known;
  const { fit, fittedMs, version } = held;
  const measurements = measurementsOf(services, known);
  const models = services.materialisations.publishedByCandidate(round.name);
  const measured = held.candidates.flatMap((candidate, index) => {
    const own = (measurements.get(candidate.id) ?? []).filter(({ task }) => isKnown(spec, candidate, task));
    if (own.length === 0) return [];
    const facts = { dominated: held.dominated[index] ?? false, measured: own, model: models.get(candidate.id) ?? '' };
    return [measuredMessage(spec, candidate, fit, facts)];
  });
  return Front.fromPartial({
    round: round.name,
    state: STATES[services.fronts.stateOf(round.name)],
    version,
    tasks: spec.tasks.map(taskMessage),
    dimensions: spec.dimensions.map(dimensionMessage),
    surrogates: (fit?.surrogates ?? []).map((surrogate, task) => qualityMessage(surrogate, spec.tasks[task]?.name ?? '')),
    ...(fit?.front === undefined ? {} : solverFields(fit.front)),
    measured,
    evaluations: fit?.evaluations ?? 0,
    ...(fit === undefined || fittedMs === undefined ? {} : { fittedAt: new Date(fittedMs), fitSeconds: fit.seconds }),
    study: toStudyState(services.studies.get(round.name).state),
    warnings: services.fronts.warnings(round.name),
  });
}

function isKnown({ tasks }: StudySpec, { measured }: MeasuredCandidate, name: string): boolean {
  return measured[tasks.findIndex((task) => task.name === name)] !== undefined;
}

/** The front without some contributions, beside nothing that was measured: the measured points have them. */
export function whatIfMessage(front: Front, predicted: PredictedFront, without: readonly string[]): Front {
  return Front.fromPartial({ ...front, ...solverFields(predicted), measured: [], without: [...without] });
}

export function materialisationMessage(services: Services, known: KnownStudy, row: MaterialisationRow): Materialisation {
  const { spec, round } = known;
  const held = services.fronts.get(round.name);
  const candidate = services.studies.candidate(round.name, row.candidate, spec.tasks.length);
  const measured = services.studies
    .pairsOf(round.name, row.candidate)
    .filter(({ status }) => status === 'done')
    .map((pair) => measurementMessage(pair, spec));
  const position = held.candidates.findIndex(({ id }) => id === row.candidate);
  const facts = { dominated: held.dominated[position] ?? false, measured, model: row.state === 'published' ? row.name : '' };
  return Materialisation.fromPartial({
    name: row.name,
    round: round.name,
    state: MATERIALISATION_STATES[row.state],
    point: measuredMessage(spec, candidate, held.fit, facts),
    ...(row.error === null ? {} : { error: toErrorInfo(deserializeError(JSON.parse(row.error) as SerializedError)) }),
  });
}
