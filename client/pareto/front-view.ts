/** Fronts and their points as tables and as JSON. The JSON field names are a promise. */
import { CandidateKind } from '../../shared/generated/tributary/v1/evaluations.js';
import {
  type AttributeResponse,
  type Front,
  FrontState,
  type Materialisation,
  MaterialisationState,
  type Point,
  type QueryResponse,
} from '../../shared/generated/tributary/v1/pareto.js';
import { table } from '../cli/table.js';
import { studyStateName, taskView } from './study-view.js';

const STATES: Readonly<Record<FrontState, string>> = {
  [FrontState.UNSPECIFIED]: 'unknown',
  [FrontState.UNRECOGNIZED]: 'unknown',
  [FrontState.MEASURING]: 'measuring',
  [FrontState.SERVING]: 'serving',
  [FrontState.MEASURED_ONLY]: 'measured only',
};

const KINDS: Readonly<Record<CandidateKind, string>> = {
  [CandidateKind.UNSPECIFIED]: 'predicted',
  [CandidateKind.UNRECOGNIZED]: 'unknown',
  [CandidateKind.BASE]: 'base',
  [CandidateKind.SINGLE]: 'single',
  [CandidateKind.AVERAGE]: 'average',
  [CandidateKind.SAMPLE]: 'sample',
  [CandidateKind.ADAPTIVE]: 'adaptive',
  [CandidateKind.SOUP]: 'soup',
  [CandidateKind.MATERIALISED]: 'materialised',
  [CandidateKind.RESULT]: 'result',
};

const MATERIALISATION_STATES: Readonly<Record<MaterialisationState, string>> = {
  [MaterialisationState.UNSPECIFIED]: 'unknown',
  [MaterialisationState.UNRECOGNIZED]: 'unknown',
  [MaterialisationState.EVALUATING]: 'evaluating',
  [MaterialisationState.MERGING]: 'merging',
  [MaterialisationState.PUBLISHED]: 'published',
  [MaterialisationState.FAILED]: 'failed',
};

/** Names of tasks and coordinates, in their order. */
export type Axes = Pick<Front, 'tasks' | 'dimensions'>;

/** Six digits: coefficients are not known better, and tables stay readable. JSON has them all. */
const digits = (value: number | undefined, places = 4): string => (value === undefined ? '-' : value.toFixed(places));

export function kindName({ kind, label, model }: Pick<Point, 'kind' | 'label' | 'model'>): string {
  const name = label === '' ? model : label;
  return name === '' ? KINDS[kind] : `${KINDS[kind]} ${name}`;
}

export function measuredValue({ measured }: Point, task: string): number | undefined {
  return measured.find((one) => one.task === task)?.value;
}

export function pointView({ tasks, dimensions }: Axes, point: Point): object {
  const byTask = (values: readonly number[]): object | null =>
    values.length === 0 ? null : Object.fromEntries(tasks.map(({ name }, index) => [name, values[index] ?? null]));
  return {
    kind: KINDS[point.kind],
    label: point.label === '' ? null : point.label,
    candidate: point.candidate ?? null,
    coefficients: Object.fromEntries(dimensions.map(({ name }, index) => [name, point.coefficients[index] ?? null])),
    predicted: byTask(point.predicted),
    predictedErrors: byTask(point.predictedErrors),
    measured: Object.fromEntries(point.measured.map(({ task, value, count, standardError }) => [task, { value, count, standardError }])),
    dominated: point.dominated,
    model: point.model === '' ? null : point.model,
  };
}

export function frontView(front: Front): object {
  return {
    round: front.round,
    state: STATES[front.state],
    study: studyStateName(front.study),
    version: front.version,
    tasks: front.tasks.map(taskView),
    dimensions: front.dimensions.map(({ name, lower, upper }) => ({ name, lower, upper })),
    surrogates: front.surrogates.map((one) => ({ ...one, reason: one.reason === '' ? null : one.reason })),
    solver: front.solver === '' ? null : front.solver,
    hypervolume: { gradient: front.gradientHypervolume, nsga3: front.nsga3Hypervolume, referencePoint: front.referencePoint },
    evaluations: front.evaluations,
    fittedAt: front.fittedAt?.toISOString() ?? null,
    fitSeconds: front.fitSeconds,
    without: front.without,
    warnings: front.warnings,
    predicted: front.predicted.map((point) => pointView(front, point)),
    measured: front.measured.map((point) => pointView(front, point)),
  };
}

function pointsTable({ tasks, dimensions }: Axes, points: readonly Point[], values: (point: Point, task: number) => string): string {
  const head = ['point', ...tasks.map(({ name }) => name), ...dimensions.map(({ name }) => name)];
  const rows = points.map((point) => [
    kindName(point),
    ...tasks.map((_, index) => values(point, index)),
    ...dimensions.map((_, index) => digits(point.coefficients[index], 3)),
  ]);
  return table(head, rows, head.map((_, index) => index).slice(1));
}

const predictedText = ({ predicted, predictedErrors }: Point, task: number): string => {
  const error = predictedErrors[task] ?? 0;
  return error > 0 ? `${digits(predicted[task])} ±${digits(error)}` : digits(predicted[task]);
};

export function surrogateTable({ surrogates }: Front): string {
  return table(
    ['task', 'link', 'R2', 'held-out R2', 'held-out error', 'measured', ''],
    surrogates.map(({ task, link, r2, heldOutR2, heldOutRmse, measurements, usable, reason }) => [
      task,
      link,
      digits(r2, 3),
      digits(heldOutR2, 3),
      digits(heldOutRmse),
      `${measurements}`,
      usable ? '' : reason,
    ]),
    [2, 3, 4, 5],
  );
}

/** @param all dominated measured points too, and the whole predicted front instead of a dozen points of it */
export function frontText(front: Front, all: boolean): string {
  const { tasks } = front;
  const measuredText = (point: Point, task: number): string => digits(measuredValue(point, tasks[task]?.name ?? ''));
  const measured = front.measured.filter(({ dominated, kind }) => all || !dominated || REFERENCES.includes(kind));
  const predicted = all ? front.predicted : thinned(front.predicted, SHOWN_POINTS);
  const without = front.without.length === 0 ? '' : `, without ${front.without.join(', ')}`;
  const lines = [
    `front    ${front.round}${without}  ${STATES[front.state]}, version ${front.version}, ${front.evaluations} evaluations (study ${studyStateName(front.study)})`,
  ];
  if (front.surrogates.length > 0) lines.push('', surrogateTable(front));
  if (predicted.length > 0) {
    const some = predicted.length < front.predicted.length ? ` (${predicted.length} of ${front.predicted.length}; --all shows them)` : '';
    lines.push('', `predicted front, by ${front.solver}${some}`, '', pointsTable(front, predicted, predictedText));
  }
  if (measured.length > 0) {
    const hidden = front.measured.length - measured.length;
    const some = hidden > 0 ? ` (${hidden} dominated ones not shown)` : '';
    lines.push('', `measured${some}`, '', pointsTable(front, measured, measuredText));
  }
  lines.push(...front.warnings.map((warning) => `warning  ${warning}`));
  return lines.join('\n');
}

const SHOWN_POINTS = 12;
const REFERENCES: readonly CandidateKind[] = [
  CandidateKind.BASE,
  CandidateKind.SINGLE,
  CandidateKind.AVERAGE,
  CandidateKind.RESULT,
  CandidateKind.MATERIALISED,
];

function thinned<Item>(items: readonly Item[], most: number): Item[] {
  if (items.length <= most) return [...items];
  return Array.from({ length: most }, (_, index) => items[Math.round((index * (items.length - 1)) / (most - 1))] as Item);
}

/** Coefficients and metrics of one point. */
export function pointText({ tasks, dimensions }: Axes, point: Point): string {
  const coefficients = dimensions.map(({ name }, index) => `${name} ${digits(point.coefficients[index], 4)}`).join(', ');
  const rows = tasks.map(({ name }, index) => [name, predictedText(point, index), digits(measuredValue(point, name))]);
  return [`${kindName(point)}: ${coefficients}`, '', table(['task', 'predicted', 'measured'], rows, [1, 2])].join('\n');
}

export function answerView(axes: Axes, { point, bestMeasured, score, version, warnings }: QueryResponse): object {
  return {
    point: point === undefined ? null : pointView(axes, point),
    bestMeasured: bestMeasured === undefined ? null : pointView(axes, bestMeasured),
    score,
    version,
    warnings,
  };
}

export function answerText(axes: Axes, answer: QueryResponse): string {
  const lines = answer.point === undefined ? ['no predicted point: the surrogates do not serve'] : [pointText(axes, answer.point)];
  if (answer.bestMeasured !== undefined) lines.push('', 'best that was measured', '', pointText(axes, answer.bestMeasured));
  lines.push(...answer.warnings.map((warning) => `warning  ${warning}`));
  return lines.join('\n');
}

export function attributionView({ attributions, version, coefficients }: AttributeResponse, { dimensions }: Axes): object {
  return {
    coefficients: Object.fromEntries(dimensions.map(({ name }, index) => [name, coefficients[index] ?? null])),
    attributions: attributions.map(({ task, contributor, shapley, standardError }) => ({ task, contributor, shapley, standardError })),
    version,
  };
}

export function attributionText({ attributions, coefficients }: AttributeResponse, { tasks, dimensions }: Axes): string {
  const contributors = [...new Set(attributions.map(({ contributor }) => contributor))];
  const rows = contributors.map((contributor) => [
    contributor,
    ...tasks.map(({ name }) => {
      const found = attributions.find((one) => one.task === name && one.contributor === contributor);
      return found === undefined ? '-' : `${found.shapley >= 0 ? '+' : ''}${digits(found.shapley)} ±${digits(found.standardError)}`;
    }),
  ]);
  const where = dimensions.map(({ name }, index) => `${name} ${digits(coefficients[index], 3)}`).join(', ');
  return [
    `what each contribution adds to each task (Shapley value), at ${where}`,
    '',
    table(
      ['contributor', ...tasks.map(({ name }) => name)],
      rows,
      tasks.map((_, index) => index + 1),
    ),
  ].join('\n');
}

export function materialisationView(axes: Axes, one: Materialisation): object {
  return {
    name: one.name,
    round: one.round,
    state: MATERIALISATION_STATES[one.state],
    point: one.point === undefined ? null : pointView(axes, one.point),
    error: one.error ?? null,
  };
}

export function materialisationText(axes: Axes, one: Materialisation): string {
  const fetch = one.state === MaterialisationState.PUBLISHED ? ` (tributary pull ${one.name} --out DIR)` : '';
  const lines = [`model    ${one.name}  ${MATERIALISATION_STATES[one.state]}${fetch}`];
  if (one.point !== undefined) lines.push('', pointText(axes, one.point));
  return lines.join('\n');
}
