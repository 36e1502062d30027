/** A round that is published while an agent asks for it: whichever question comes first, its study is not missed. */
import { expect, test } from 'vitest';
import { createBackOff } from '../../client/agent/back-off.js';
import { type Serving, serveSlot } from '../../client/agent/serve-slot.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { Study, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { RoundState } from '../../shared/generated/tributary/v1/rounds.js';

test.each([0, 1, 2, 3, 4, 5, 6])('published after %i questions', async (after) => {
  let asked = 0;
  let given = 0;
  const isPublished = (): boolean => asked++ >= after;
  const study = () =>
    Study.fromPartial({ round: 'r', tasks: [{ name: 't' }], state: given === 0 ? StudyState.EVALUATING : StudyState.COMPLETE });
  const connection = {
    evaluations: {
      lease: async () => {
        if (!isPublished()) throw new TributaryError('STUDY_NOT_FOUND', { what: 'no study' });
        return { leases: given === 0 ? [{ round: 'r', candidate: 1, task: 't' }] : [] };
      },
      listStudies: async () => ({ studies: isPublished() ? [study()] : [] }),
    },
    rounds: { getRound: async () => ({ state: isPublished() ? RoundState.PUBLISHED : RoundState.MERGING }) },
  };
  await serveSlot({
    connection,
    offer: { agent: 'a', rounds: ['r'], tasks: ['t'] },
    once: true,
    opened: { use: async () => void (given += 1) },
    backOff: createBackOff(() => performance.now()),
    patience: { withoutProgressMs: 0, signal: new AbortController().signal, onRetry: () => {} },
    first: 0,
  } as unknown as Serving);
  expect(given).toBe(1);
});
