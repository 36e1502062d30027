/** What a deadline means for a push that is on its way. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { CreateRoundRequest, RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import { fineTune, makeBase, TINY, writeSingle } from '../support/checkpoints.js';
import { eventually } from '../support/eventually.js';
import { expectError } from '../support/expect-error.js';
import {
  baseTarget,
  begin,
  contributionTarget,
  describeForTest,
  type InProcess,
  sendMissing,
  startInProcess,
} from '../support/raw-transfer.js';
import { tempDir } from '../support/temp-dir.js';

const folder = tempDir();
const base = makeBase(1, TINY);
const described = {
  base: await describeForTest(writeSingle(join(folder, 'base'), base)),
  a: await describeForTest(writeSingle(join(folder, 'a'), fineTune(base, 2))),
  b: await describeForTest(writeSingle(join(folder, 'b'), fineTune(base, 3))),
};
const DEADLINE_MS = 1500;
let running: InProcess;

afterEach(() => running.close());

/** A coordinator with a base and a round about to close, and a push to it that has begun. */
async function beginPush(name: string, graceSeconds: number): Promise<{ uploadId: string; deadline: Date }> {
  running = await startInProcess(join(folder, name), { graceSeconds });
  const { connection } = running;
  const { uploadId: baseUpload } = await begin(connection, described.base, baseTarget('tiny'));
  await sendMissing(connection, described.base, baseUpload);
  await connection.transfers.finalize({ uploadId: baseUpload });
  const deadline = new Date(Date.now() + DEADLINE_MS);
  const recipe = 'merge_method: median\n';
  await connection.rounds.createRound(CreateRoundRequest.fromPartial({ name, base: 'tiny', recipe, minContributions: 1, deadline }));
  const { uploadId } = await begin(connection, described.a, contributionTarget(name, 'a'));
  return { uploadId, deadline };
}

const stateOf = async (name: string): Promise<RoundState> => (await running.connection.rounds.getRound({ name })).state;

describe('a push that is under way at the deadline', () => {
  it('is waited for, can be continued, and takes part; a new one may not begin', async () => {
    const { uploadId, deadline } = await beginPush('waits', 30);
    const { connection } = running;
    await sleep(deadline.getTime() + 1200 - Date.now());
    expect(await stateOf('waits')).toBe(RoundState.OPEN);
    await expectError('ROUND_CLOSED', () => begin(connection, described.b, contributionTarget('waits', 'b')));
    const again = await begin(connection, described.a, contributionTarget('waits', 'a'));
    expect(again.uploadId).toBe(uploadId);
    await sendMissing(connection, described.a, uploadId);
    await connection.transfers.finalize({ uploadId });
    const round = await eventually('the round is published', async () => {
      const now = await connection.rounds.getRound({ name: 'waits' });
      return now.state === RoundState.PUBLISHED ? now : undefined;
    });
    expect(round.contributions.map(({ contributor }) => contributor)).toEqual(['a']);
  });

  it('is not waited for longer than the grace', async () => {
    const { uploadId } = await beginPush('ends', 1);
    await eventually('the round has failed', async () => ((await stateOf('ends')) === RoundState.FAILED ? true : undefined));
    const { connection } = running;
    await sendMissing(connection, described.a, uploadId);
    await expectError('ROUND_CLOSED', () => connection.transfers.finalize({ uploadId }));
  });
});
