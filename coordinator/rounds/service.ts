/** The RoundService. Rules about what may happen when live in states.ts and round-store.ts; this maps calls to them. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import {
  type CreateRoundRequest,
  type Round,
  type RoundEvent,
  type RoundServiceImplementation,
  RoundState,
} from '../../shared/generated/tributary/v1/rounds.js';
import { AsyncQueue } from '../../shared/util/async-queue.js';
import { requireOperator, requireToken, tokenOf } from '../grpc/identity.js';
import { pageOf, readPageToken } from '../grpc/pages.js';
import type { ModelRow } from '../models/model-store.js';
import type { Services } from '../services.js';
import type { RoundNotice } from '../state/commit.js';
import { roundMessage, stateName } from './messages.js';
import { leastContributions, rehearse } from './rehearsal.js';
import { parseRoundRecipe } from './round-recipe.js';

export function roundService(services: Services): RoundServiceImplementation {
  const message = (name: string): Round => roundMessage(services, services.rounds.get(name));
  return {
    createRound: async (request, context) => {
      requireOperator(services.config, tokenOf(context));
      return createRound(services, request);
    },
    getRound: async (request) => message(request.name),
    listRounds: async (request) => {
      const limit = pageOf(request.pageSize);
      const rows = services.rounds.list(stateName(request.state), limit + 1, readPageToken(request.pageToken));
      const { page, nextPageToken } = nextPage(rows, limit);
      return { rounds: page.map((row) => roundMessage(services, row, false)), nextPageToken };
    },
    watchRound: (request, context) => watchRound(services, request.name, context.signal),
    closeRound: async (request, context) => {
      requireOperator(services.config, tokenOf(context));
      services.rounds.close(request.name, 'close_requested');
      return message(request.name);
    },
    cancelRound: async (request, context) => {
      requireOperator(services.config, tokenOf(context));
      services.rounds.change(request.name, 'cancel_requested');
      return message(request.name);
    },
    withdrawContribution: async (request, context) => {
      requireToken(services.config, tokenOf(context), request.contributor);
      services.rounds.withdraw(request.round, request.contributor);
      return message(request.round);
    },
  };
}

export function nextPage<Row extends { created_ms: number; name: string }>(
  rows: Row[],
  limit: number,
): { page: Row[]; nextPageToken: string } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { page, nextPageToken: rows.length > limit && last !== undefined ? `${last.created_ms}/${last.name}` : '' };
}

function createRound(services: Services, request: CreateRoundRequest): Round {
  const name = request.name === '' ? services.names.invent() : request.name;
  services.names.check(name, 'a round name');
  services.names.requireFree(name);
  // A recipe that cannot be merged is refused now, not when everyone has pushed.
  const { recipe, base: baseInRecipe } = parseRoundRecipe(request.recipe);
  const base = baseOf(services, request.base, baseInRecipe);
  const deadlineMs = request.deadline?.getTime() ?? null;
  if (deadlineMs !== null && deadlineMs <= services.nowMs()) {
    throw new TributaryError('USAGE', {
      what: 'The deadline has passed already',
      got: new Date(deadlineMs).toISOString(),
      fix: 'Give a time in the future.',
    });
  }
  const minContributions = leastContributions(recipe, request);
  if (request.quorum > 0 && request.quorum < minContributions) {
    throw new TributaryError('USAGE', {
      what: 'The quorum is below the fewest contributions a close needs',
      expected: `at least ${minContributions}`,
      got: `${request.quorum}`,
    });
  }
  rehearse(services, recipe, base, request.quorum > 0 ? request.quorum : minContributions);
  const row = services.rounds.create({
    name,
    base_name: base.name,
    base_digest: base.weights_digest,
    recipe: request.recipe,
    quorum: request.quorum,
    min_contributions: minContributions,
    deadline_ms: deadlineMs,
  });
  services.logger.info({ round: name, base: base.name, quorum: request.quorum }, 'round created');
  return roundMessage(services, row);
}

/** The base is named by the request, by the recipe's `base_model: base:NAME`, or by both if they agree. */
function baseOf(services: Services, requested: string, inRecipe: string | undefined): ModelRow {
  if (requested === '' && inRecipe === undefined) {
    throw new TributaryError('USAGE', { what: 'The round needs a base', fix: 'Give --base, or base_model: base:NAME in the recipe.' });
  }
  const base = services.models.resolve(requested === '' ? (inRecipe ?? '') : requested);
  if (inRecipe !== undefined && services.models.resolve(inRecipe).name !== base.name) {
    throw new TributaryError('RECIPE_INVALID', {
      what: 'The recipe names another base than the round',
      expected: base.name,
      got: inRecipe,
    });
  }
  return base;
}

const ENDED: ReadonlySet<RoundState> = new Set([RoundState.PUBLISHED, RoundState.FAILED, RoundState.CANCELLED]);

/** A round with a study goes on until that is over. */
const hasEnded = ({ state, study }: Round): boolean => ENDED.has(state) && study?.state !== StudyState.EVALUATING;

async function* watchRound(services: Services, name: string, signal: AbortSignal): AsyncGenerator<RoundEvent> {
  const queue = new AsyncQueue<RoundNotice>();
  const unsubscribe = services.hub.subscribe((notice) => {
    if (notice.round === name) queue.push(notice);
  });
  const stop = (): void => queue.end();
  signal.addEventListener('abort', stop);
  services.stopping.addEventListener('abort', stop);
  try {
    const first = roundMessage(services, services.rounds.get(name));
    yield { type: 'snapshot', at: new Date(services.nowMs()), round: first, contributor: '' };
    if (hasEnded(first) || signal.aborted || services.stopping.aborted) return;
    for await (const notice of queue) {
      const round = roundMessage(services, services.rounds.get(name));
      yield { type: notice.type, at: new Date(notice.atMs), round, contributor: notice.contributor };
      if (hasEnded(round)) return;
    }
  } finally {
    unsubscribe();
    signal.removeEventListener('abort', stop);
    services.stopping.removeEventListener('abort', stop);
  }
}
