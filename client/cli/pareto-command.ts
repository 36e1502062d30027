/** `tributary pareto ...`: the front of a round, questions to it, and what is made of the answers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import {
  type Front,
  type Materialisation,
  MaterialisationState,
  MaterialiseRequest,
  Point,
} from '../../shared/generated/tributary/v1/pareto.js';
import { fromErrorInfo } from '../../shared/grpc/error-trailer.js';
import type { Connection } from '../api/connection.js';
import { persevere } from '../api/retry.js';
import { exportFront } from '../pareto/export-front.js';
import {
  answerText,
  answerView,
  attributionText,
  attributionView,
  frontText,
  frontView,
  materialisationText,
  materialisationView,
} from '../pareto/front-view.js';
import { parseCoefficients, parseQuestion, type QuestionFlags } from '../pareto/question.js';
import { studyLine, studyText, studyView } from '../pareto/study-view.js';
import { type CommandContext, withConnection } from './context.js';

export interface PointFlags extends QuestionFlags {
  /** `alice=0.3,bob=0.5` */
  readonly at?: string;
}

export interface MaterialiseFlags extends PointFlags {
  readonly name: string;
  readonly unmeasured: boolean;
  readonly wait: boolean;
}

const frontOf = (context: CommandContext, connection: Connection, round: string): Promise<Front> =>
  persevere(context.patience, () => connection.pareto.getFront({ round }, { signal: context.signal }));

export async function showFront(context: CommandContext, round: string, all: boolean): Promise<void> {
  const front = await withConnection(context, (connection) => frontOf(context, connection, round));
  context.io.result(frontView(front), frontText(front, all));
}

function noQuestion(): never {
  throw new TributaryError('USAGE', {
    what: 'There is no question',
    expected: '--prefer TASK=WEIGHT,..., --require TASK>=NUMBER, --near TASK=NUMBER,... or --knee',
    fix: 'tributary pareto query --help has examples.',
  });
}

export async function query(context: CommandContext, round: string, flags: QuestionFlags): Promise<void> {
  const question = parseQuestion(round, flags) ?? noQuestion();
  await withConnection(context, async (connection) => {
    const [axes, answer] = await Promise.all([
      frontOf(context, connection, round),
      persevere(context.patience, () => connection.pareto.query(question, { signal: context.signal })),
    ]);
    context.io.result(answerView(axes, answer), answerText(axes, answer));
  });
}

/** The point that the flags name: by coefficients or by a question. */
async function pointOf(context: CommandContext, connection: Connection, front: Front, flags: PointFlags): Promise<Point | undefined> {
  const question = parseQuestion(front.round, flags);
  if (flags.at !== undefined && question !== undefined)
    throw new TributaryError('USAGE', { what: 'One point at a time', expected: '--at, or a question' });
  if (flags.at !== undefined) return Point.fromPartial({ coefficients: parseCoefficients('--at', flags.at, front.dimensions) });
  if (question === undefined) return undefined;
  const { point, bestMeasured } = await connection.pareto.query(question, { signal: context.signal });
  return point ?? bestMeasured;
}

export async function showAttribution(context: CommandContext, round: string, flags: PointFlags): Promise<void> {
  await withConnection(context, async (connection) => {
    const front = await frontOf(context, connection, round);
    const point = await pointOf(context, connection, front, flags);
    const request = { round, coefficients: [...(point?.coefficients ?? [])] };
    const answer = await connection.pareto.attribute(request, { signal: context.signal });
    context.io.result(attributionView(answer, front), attributionText(answer, front));
  });
}

export async function showWhatIf(context: CommandContext, round: string, flags: { without: string; all: boolean }): Promise<void> {
  const without = flags.without.split(',').map((name) => name.trim());
  const front = await withConnection(context, (connection) =>
    persevere(context.patience, () => connection.pareto.whatIf({ round, without }, { signal: context.signal })),
  );
  context.io.result(frontView(front), frontText(front, flags.all));
}

export async function exportTo(context: CommandContext, round: string, flags: PointFlags & { out: string }): Promise<void> {
  await withConnection(context, async (connection) => {
    const front = await frontOf(context, connection, round);
    const chosen = await pointOf(context, connection, front, flags);
    await exportFront(front, chosen, flags.out);
    const points = `${front.predicted.length} predicted and ${front.measured.length} measured points`;
    context.io.result({ out: flags.out, round, version: front.version }, `${flags.out}: ${points}`);
  });
}

const POLL_MS = 500;

export async function materialise(context: CommandContext, round: string, flags: MaterialiseFlags): Promise<void> {
  const { io, signal } = context;
  await withConnection(context, async (connection) => {
    const front = await frontOf(context, connection, round);
    const point = (await pointOf(context, connection, front, flags)) ?? noQuestion();
    const request = MaterialiseRequest.fromPartial({
      round,
      name: flags.name,
      coefficients: [...point.coefficients],
      unmeasured: flags.unmeasured,
    });
    const ask = (): Promise<Materialisation> => persevere(context.patience, () => connection.pareto.materialise(request, { signal }));
    let last = await ask();
    let said: MaterialisationState | undefined;
    while (flags.wait && (last.state === MaterialisationState.EVALUATING || last.state === MaterialisationState.MERGING)) {
      if (said !== last.state)
        io.note(
          last.state === MaterialisationState.EVALUATING ? 'waiting for agents to measure it (--unmeasured publishes without)' : 'merging',
        );
      said = last.state;
      await sleep(POLL_MS, undefined, { signal });
      last = await ask();
    }
    if (last.state === MaterialisationState.FAILED && last.error !== undefined) throw fromErrorInfo(last.error);
    io.result(materialisationView(front, last), materialisationText(front, last));
  });
}

export async function showStudy(context: CommandContext, round: string): Promise<void> {
  const study = await withConnection(context, (connection) => connection.evaluations.getStudy({ round }, { signal: context.signal }));
  context.io.result(studyView(study), studyText(study, Date.now()));
}

export async function stopStudy(context: CommandContext, round: string): Promise<void> {
  const study = await withConnection(context, (connection) => connection.evaluations.stopStudy({ round }, { signal: context.signal }));
  context.io.result(studyView(study), `map      ${studyLine(study, Date.now())}`);
}
