/** `tributary round ...`, `tributary base list`. */
import { readFileSync } from 'node:fs';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { type Model, ModelOrigin } from '../../shared/generated/tributary/v1/models.js';
import { CreateRoundRequest, type Round, RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import { fromErrorInfo } from '../../shared/grpc/error-trailer.js';
import { persevere } from '../api/retry.js';
import { studyLine } from '../pareto/study-view.js';
import { type CommandContext, withConnection } from './context.js';
import { byteProgress } from './progress.js';
import { modelsTable, modelView, roundsTable, roundText, roundView, stateOf } from './round-view.js';
import { parseDeadline } from './units.js';

export interface CreateFlags {
  readonly base?: string;
  readonly recipe?: string;
  readonly method?: string;
  readonly quorum?: number;
  readonly min?: number;
  readonly deadline?: string;
}

export async function createRound(context: CommandContext, name: string | undefined, flags: CreateFlags): Promise<void> {
  const round = await withConnection(context, (connection) =>
    connection.rounds.createRound(
      CreateRoundRequest.fromPartial({
        name: name ?? '',
        base: flags.base ?? '',
        recipe: recipeText(flags),
        quorum: flags.quorum ?? 0,
        minContributions: flags.min ?? 0,
        ...(flags.deadline === undefined ? {} : { deadline: parseDeadline(flags.deadline, Date.now()) }),
      }),
      { signal: context.signal },
    ),
  );
  context.io.result(roundView(round), `${roundText(round, context.io)}\n\nNext: tributary push DIR --round ${round.name} --as YOUR-TEAM`);
}

function recipeText(flags: CreateFlags): string {
  if (flags.recipe === undefined) return `merge_method: ${flags.method ?? 'fedavg'}\n`;
  if (flags.method !== undefined)
    throw new TributaryError('USAGE', { what: '--recipe and --method exclude one another', fix: 'Put merge_method into the recipe.' });
  try {
    return readFileSync(flags.recipe, 'utf8');
  } catch (error) {
    throw toTributaryError(error, flags.recipe);
  }
}

export async function listRounds(context: CommandContext): Promise<void> {
  const rounds: Round[] = [];
  await withConnection(context, async (connection) => {
    let pageToken = '';
    do {
      const page = await connection.rounds.listRounds(
        { state: RoundState.UNSPECIFIED, pageSize: 0, pageToken },
        { signal: context.signal },
      );
      rounds.push(...page.rounds);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  });
  context.io.result(rounds.map(roundView), roundsTable(rounds, context.io));
}

export async function listModels(context: CommandContext, all: boolean): Promise<void> {
  const models: Model[] = [];
  await withConnection(context, async (connection) => {
    let pageToken = '';
    do {
      const origin = all ? ModelOrigin.UNSPECIFIED : ModelOrigin.BASE;
      const page = await connection.models.listModels({ origin, pageSize: 0, pageToken }, { signal: context.signal });
      models.push(...page.models);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  });
  context.io.result(models.map(modelView), modelsTable(models));
}

export async function showRound(context: CommandContext, name: string): Promise<void> {
  const round = await withConnection(context, (connection) => connection.rounds.getRound({ name }, { signal: context.signal }));
  context.io.result(roundView(round), roundText(round, context.io));
}

export async function cancelRound(context: CommandContext, name: string): Promise<void> {
  const round = await withConnection(context, (connection) => connection.rounds.cancelRound({ name }, { signal: context.signal }));
  context.io.result(roundView(round), roundText(round, context.io));
}

export async function withdraw(context: CommandContext, round: string, contributor: string): Promise<void> {
  const after = await withConnection(context, (connection) =>
    connection.rounds.withdrawContribution({ round, contributor }, { signal: context.signal }),
  );
  context.io.result(roundView(after), roundText(after, context.io));
}

export async function closeRound(context: CommandContext, name: string, wait: boolean): Promise<void> {
  const round = await withConnection(context, (connection) => connection.rounds.closeRound({ name }, { signal: context.signal }));
  if (!wait) {
    context.io.result(roundView(round), roundText(round, context.io));
    return;
  }
  await watchRound(context, name);
}

/** How far the measuring of candidates is: a line at most this often. */
const PROGRESS = 'evaluation.progress';
const PROGRESS_EVERY_MS = 2_000;

/** Follows a round to its end; reconnects as patiently as a push. Throws what the round failed with. */
export async function watchRound(context: CommandContext, name: string): Promise<void> {
  const { io, signal } = context;
  const progress = byteProgress(io, 'merging');
  let last: Round | undefined;
  let saidMs = 0;
  try {
    last = await persevere(context.patience, async (progressed) =>
      withConnection(context, async (connection) => {
        let round: Round | undefined;
        for await (const event of connection.rounds.watchRound({ name }, { signal })) {
          progressed();
          round = event.round;
          if (round?.progress !== undefined) progress.update(Number(round.progress.doneBytes), Number(round.progress.totalBytes));
          if (event.type === 'merge.progress' || (event.type === PROGRESS && Date.now() - saidMs < PROGRESS_EVERY_MS)) continue;
          saidMs = Date.now();
          progress.stop();
          const about = eventText(event.type, event.contributor, round);
          io.note(
            `${event.at?.toISOString() ?? ''}  ${round?.study === undefined ? about : `${about}  ${studyLine(round.study, Date.now())}`}`,
          );
        }
        if (round !== undefined && isOver(round)) return round;
        throw new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'The coordinator ended the watch', where: connection.server });
      }),
    );
  } finally {
    progress.stop();
  }
  if (last.state === RoundState.FAILED && last.error !== undefined) throw fromErrorInfo(last.error);
  io.result(roundView(last), roundText(last, io));
}

function isOver(round: Round): boolean {
  const measured = round.study?.state !== StudyState.EVALUATING;
  return round.state !== RoundState.OPEN && round.state !== RoundState.MERGING && measured;
}

function eventText(type: string, contributor: string, round: Round | undefined): string {
  if (type === 'snapshot') return round === undefined ? '' : `round ${round.name} is ${stateOf(round)}`;
  return contributor === '' ? type : `${type}  ${contributor}`;
}
