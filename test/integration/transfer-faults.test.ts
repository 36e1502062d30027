/** Every way a transfer can go wrong on the line, against a real coordinator: what arrived whole stays, everything else is as if it had never been sent. */
import { readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../client/api/connection.js';
import type { DescribedArtifact } from '../../client/push/describe.js';
import { push } from '../../client/push/push.js';
import { Manifest } from '../../shared/generated/tributary/v1/manifest.js';
import { ContributionStatus } from '../../shared/generated/tributary/v1/rounds.js';
import { ChunkState, UploadState, type WriteRequest } from '../../shared/generated/tributary/v1/transfers.js';
import { uniqueChunks } from '../../shared/transfer/artifact.js';
import type { EncodedWrite } from '../../shared/transfer/write-codec.js';
import { fromHex } from '../../shared/util/hex.js';
import { FEW_CHUNKS, fineTune, makeBase, TINY, writeSingle } from '../support/checkpoints.js';
import { startDelayProxy } from '../support/delay-proxy.js';
import { eventually } from '../support/eventually.js';
import { expectError } from '../support/expect-error.js';
import {
  baseTarget,
  begin,
  beginRequests,
  chunkBytes,
  contributionTarget,
  describeForTest,
  encodeWrite,
  findMissing,
  type InProcess,
  pieces,
  sendMissing,
  startInProcess,
  writeAll,
} from '../support/raw-transfer.js';
import { tempDir } from '../support/temp-dir.js';

const folder = tempDir();
const base = makeBase(1, FEW_CHUNKS);
let nextSeed = 100;
let running: InProcess;
let baseDigest = '';

/** A fine-tuned checkpoint nobody has sent yet. */
async function freshCheckpoint(): Promise<DescribedArtifact> {
  const seed = nextSeed++;
  return describeForTest(writeSingle(join(folder, `tuned-${seed}`), fineTune(base, seed)));
}

async function openRound(name: string): Promise<void> {
  await running.connection.rounds.createRound({
    name,
    base: 'base',
    recipe: 'merge_method: fedavg\n',
    quorum: 0,
    minContributions: 1,
    deadline: undefined,
  });
}

/** The largest chunk of those missing: one that comes in several pieces. */
function largest(described: DescribedArtifact, digests: readonly string[]): string {
  const sizes = uniqueChunks(described.artifact);
  return [...digests].sort((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0))[0] as string;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${running.coordinator.httpPort}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? 0);
}

function incoming(): string[] {
  return readdirSync(join(running.dataDir, 'incoming'));
}

beforeAll(async () => {
  running = await startInProcess(folder);
  const described = await describeForTest(writeSingle(join(folder, 'base'), base));
  const { uploadId } = await begin(running.connection, described, baseTarget('base'));
  await sendMissing(running.connection, described, uploadId);
  await running.connection.transfers.finalize({ uploadId });
  baseDigest = described.artifact.weightsDigest;
});

afterAll(async () => {
  await running.close();
});

describe('chunks', () => {
  test('a damaged chunk is refused and only it is sent again', async () => {
    const { connection } = running;
    await openRound('damaged');
    const described = await freshCheckpoint();
    const { uploadId } = await begin(connection, described, contributionTarget('damaged', 'a', baseDigest));
    const missing = await findMissing(connection, uploadId);
    const victim = largest(described, missing);
    const smallVictim = missing.find((digest) => chunkBytes(described, digest).length < 65_536) as string;
    const damage = (digest: string): Buffer => {
      const bytes = Buffer.from(chunkBytes(described, digest));
      if (digest === victim || digest === smallVictim) bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
      return bytes;
    };
    const answers = await writeAll(
      connection,
      missing.flatMap((digest) => pieces(uploadId, digest, damage(digest))),
    );
    expect(answers.size).toBe(missing.length);
    for (const [digest, state] of answers) {
      expect(state).toBe(digest === victim || digest === smallVictim ? ChunkState.DIGEST_MISMATCH : ChunkState.DURABLE);
    }
    expect((await findMissing(connection, uploadId)).sort()).toEqual([victim, smallVictim].sort());
    expect(incoming()).toEqual([]);
    expect(await sendMissing(connection, described, uploadId)).toBe(2);
    const { result } = await connection.transfers.finalize({ uploadId });
    expect(result?.$case === 'contribution' && result.value.status).toBe(ContributionStatus.ACCEPTED);
    expect(result?.$case === 'contribution' && result.value.weightsDigest).toBe(described.artifact.weightsDigest);
  });

  test.each(['ends normally', 'is aborted'])('a stream that %s in the middle of a chunk leaves nothing behind', async (how) => {
    const { connection } = running;
    const round = how === 'is aborted' ? 'cut-abort' : 'cut-end';
    await openRound(round);
    const described = await freshCheckpoint();
    const { uploadId } = await begin(connection, described, contributionTarget(round, 'a'));
    const missing = await findMissing(connection, uploadId);
    const victim = largest(described, missing);
    const half = pieces(uploadId, victim, chunkBytes(described, victim)).slice(0, 2);
    const abort = new AbortController();
    const receivedBefore = await metric('tributary_received_bytes_total');
    async function* stream(): AsyncGenerator<EncodedWrite> {
      yield* half.map(encodeWrite);
      await eventually('the chunk arrives', async () =>
        (await metric('tributary_received_bytes_total')) > receivedBefore ? true : undefined,
      );
      if (how === 'is aborted') abort.abort();
    }
    const answers: unknown[] = [];
    try {
      for await (const answer of connection.transfers.write(stream(), { signal: abort.signal })) answers.push(answer);
    } catch (error) {
      expect(how).toBe('is aborted');
      expect(String(error)).toMatch(/abort/i);
    }
    expect(answers).toEqual([]);
    await eventually('the stream is over', async () => ((await metric('tributary_open_write_streams')) === 0 ? true : undefined));
    expect(incoming()).toEqual([]);
    expect((await findMissing(connection, uploadId)).sort()).toEqual(missing.sort());
  });

  test('two clients that send the same chunk at once both hear that it is durable', async () => {
    const { connection } = running;
    await openRound('twins');
    const described = await freshCheckpoint();
    const one = await begin(connection, described, contributionTarget('twins', 'a'));
    const two = await begin(connection, described, contributionTarget('twins', 'b'));
    expect(one.uploadId).not.toBe(two.uploadId);
    const missing = await findMissing(connection, one.uploadId);
    const all = (uploadId: string) => missing.flatMap((digest) => pieces(uploadId, digest, chunkBytes(described, digest)));
    const answers = await Promise.all([
      writeAll(connection, all(one.uploadId)),
      writeAll(connection, all(two.uploadId)),
      writeAll(connection, all(two.uploadId)),
    ]);
    for (const states of answers) expect([...states.values()]).toEqual(missing.map(() => ChunkState.DURABLE));
    expect(incoming()).toEqual([]);
    for (const { uploadId } of [one, two]) expect(await findMissing(connection, uploadId)).toEqual([]);
    const results = await Promise.all([one, two].map(({ uploadId }) => connection.transfers.finalize({ uploadId })));
    for (const { result } of results) expect(result?.$case === 'contribution' && result.value.status).toBe(ContributionStatus.ACCEPTED);
  });

  test('pieces out of order, beyond the end, of a stranger or in between are refused', async () => {
    const { connection } = running;
    await openRound('order');
    const described = await freshCheckpoint();
    const { uploadId } = await begin(connection, described, contributionTarget('order', 'a'));
    const missing = await findMissing(connection, uploadId);
    const victim = largest(described, missing);
    const other = missing.find((digest) => digest !== victim) as string;
    const good = pieces(uploadId, victim, chunkBytes(described, victim));
    const [first, second] = good as [WriteRequest, WriteRequest];
    const stranger = 'ab'.repeat(32);
    const bad: [string, WriteRequest[]][] = [
      ['swapped', [first, good[2] as WriteRequest, second]],
      ['first piece missing', [second]],
      ['repeated', [first, first]],
      ['interleaved', [first, ...pieces(uploadId, other, chunkBytes(described, other))]],
      ['beyond the end', [...good.slice(0, -1), { ...(good.at(-1) as WriteRequest), data: new Uint8Array(1 << 21) }]],
      ['empty', [{ ...first, data: new Uint8Array(0) }]],
      ['another size', [{ ...first, sizeBytes: first.sizeBytes - 1 }]],
      ['unknown chunk', [{ ...first, digest: fromHex(stranger) }]],
      ['no digest', [{ ...first, digest: new Uint8Array(0) }]],
    ];
    for (const [what, requests] of bad) {
      const error = await expectError('MANIFEST_INVALID', () => writeAll(connection, requests));
      expect(error.details.where ?? '', what).not.toBe(undefined);
    }
    await eventually('nothing is left', () => (incoming().length === 0 ? true : undefined));
    expect((await findMissing(connection, uploadId)).sort()).toEqual(missing.sort());
    await sendMissing(connection, described, uploadId);
    await connection.transfers.finalize({ uploadId });
  });

  test('a bit that flips on the line costs one chunk', async () => {
    await openRound('flip');
    const described = await freshCheckpoint();
    const proxy = await startDelayProxy({ targetPort: running.coordinator.grpcPort });
    const connection = connect({ server: proxy.address });
    const digestMismatches = (): Promise<number> => metric('tributary_chunks_total{result="digest_mismatch"}');
    const before = await digestMismatches();
    proxy.flipBitAt(5.5 * 1024 * 1024);
    try {
      const report = await push(connection, described, {
        target: contributionTarget('flip', 'a'),
        patience: {
          withoutProgressMs: 10_000,
          signal: new AbortController().signal,
          onRetry: (error) => expect.unreachable(error.message),
        },
        onProgress: () => {},
        onVerifying: () => {},
      });
      expect(await digestMismatches()).toBe(before + 1);
      const missingBytes = report.totalBytes - report.savedBytes;
      expect(report.sentBytes).toBeGreaterThan(missingBytes);
      expect(report.sentBytes).toBeLessThanOrEqual(missingBytes + 4 * 1024 * 1024);
      expect('contribution' in report.result && report.result.contribution.weightsDigest).toBe(described.artifact.weightsDigest);
    } finally {
      connection.close();
      await proxy.close();
    }
  });
});

describe('calls that come twice, too early or for nothing', () => {
  test('Begin again gives the same upload, at the same time and later', async () => {
    const { connection } = running;
    await openRound('begin');
    const described = await freshCheckpoint();
    const target = contributionTarget('begin', 'a');
    const begun = await Promise.all(Array.from({ length: 5 }, () => begin(connection, described, target)));
    const later = await begin(connection, described, target);
    expect(new Set([...begun, later].map(({ uploadId }) => uploadId)).size).toBe(1);
    expect(later.alreadyCommitted).toBe(false);
    expect(later.missingBytes).toBeLessThan(later.totalBytes);
    const round = await connection.rounds.getRound({ name: 'begin' });
    expect(round.contributions.map(({ status }) => status)).toEqual([ContributionStatus.UPLOADING]);
  });

  test('Finalize again gives the same answer, at the same time and later', async () => {
    const { connection } = running;
    await openRound('finalize');
    const described = await freshCheckpoint();
    const { uploadId } = await begin(connection, described, contributionTarget('finalize', 'a'));
    await sendMissing(connection, described, uploadId);
    const answers = await Promise.all(Array.from({ length: 5 }, () => connection.transfers.finalize({ uploadId })));
    answers.push(await connection.transfers.finalize({ uploadId }));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    const again = await begin(connection, described, contributionTarget('finalize', 'a'));
    expect(again.alreadyCommitted).toBe(true);
    expect(await connection.transfers.finalize({ uploadId: again.uploadId })).toEqual(answers[0]);
    const round = await connection.rounds.getRound({ name: 'finalize' });
    expect(round.contributions.length).toBe(1);
  });

  test('two uploads that register the same base finalize at once', async () => {
    const { connection } = running;
    const described = await freshCheckpoint();
    const { uploadId } = await begin(connection, described, baseTarget('second-base'));
    await sendMissing(connection, described, uploadId);
    const answers = await Promise.all([connection.transfers.finalize({ uploadId }), connection.transfers.finalize({ uploadId })]);
    expect(answers[0]).toEqual(answers[1]);
  });

  test('Finalize before everything is there is refused and can be made good', async () => {
    const { connection } = running;
    await openRound('early');
    const described = await freshCheckpoint();
    const { uploadId } = await begin(connection, described, contributionTarget('early', 'a'));
    const error = await expectError('UPLOAD_INCOMPLETE', () => connection.transfers.finalize({ uploadId }));
    expect(error.details.got).toMatch(/^\d+ missing$/);
    expect((await connection.transfers.getUpload({ uploadId })).state).toBe(UploadState.RECEIVING);
    expect((await connection.rounds.getRound({ name: 'early' })).contributions[0]?.status).toBe(ContributionStatus.UPLOADING);
    await sendMissing(connection, described, uploadId);
    const upload = await connection.transfers.getUpload({ uploadId });
    expect(upload.missingBytes).toBe(0n);
    await connection.transfers.finalize({ uploadId });
    expect((await connection.transfers.getUpload({ uploadId })).state).toBe(UploadState.COMMITTED);
  });

  test('Finalize after the round closed is refused', async () => {
    const { connection } = running;
    await openRound('closed');
    const described = await freshCheckpoint();
    const { uploadId } = await begin(connection, described, contributionTarget('closed', 'a'));
    await sendMissing(connection, described, uploadId);
    await connection.rounds.cancelRound({ name: 'closed' });
    await expectError('ROUND_CLOSED', () => connection.transfers.finalize({ uploadId }));
    expect((await connection.rounds.getRound({ name: 'closed' })).contributions).toEqual([]);
  });

  test('ids nobody knows', async () => {
    const { connection } = running;
    const described = await freshCheckpoint();
    const uploadId = '00000000-0000-0000-0000-000000000000';
    const [first] = [...uniqueChunks(described.artifact).keys()] as [string];
    await expectError('UPLOAD_NOT_FOUND', () => findMissing(connection, uploadId));
    await expectError('UPLOAD_NOT_FOUND', () => connection.transfers.getUpload({ uploadId }));
    await expectError('UPLOAD_NOT_FOUND', () => connection.transfers.finalize({ uploadId }));
    await expectError('UPLOAD_NOT_FOUND', () => connection.transfers.abort({ uploadId }));
    await expectError('UPLOAD_NOT_FOUND', () => writeAll(connection, pieces(uploadId, first, chunkBytes(described, first))));
    await expectError('ROUND_NOT_FOUND', () => begin(connection, described, contributionTarget('no-such-round', 'a')));
  });

  test('Abort forgets the upload but not the chunks', async () => {
    const { connection } = running;
    await openRound('abort');
    const described = await freshCheckpoint();
    const target = contributionTarget('abort', 'a');
    const { uploadId, missingBytes } = await begin(connection, described, target);
    const missing = await findMissing(connection, uploadId);
    const [sent] = missing as [string];
    await writeAll(connection, pieces(uploadId, sent, chunkBytes(described, sent)));
    await connection.transfers.abort({ uploadId });
    await expectError('UPLOAD_NOT_FOUND', () => connection.transfers.finalize({ uploadId }));
    expect((await connection.rounds.getRound({ name: 'abort' })).contributions).toEqual([]);
    const again = await begin(connection, described, target);
    expect(again.uploadId).not.toBe(uploadId);
    expect(missingBytes - again.missingBytes).toBe(BigInt(chunkBytes(described, sent).length));
  });
});

describe('manifests', () => {
  async function beginWith(manifest: Uint8Array, digest: Uint8Array): Promise<unknown> {
    return running.connection.transfers.begin(beginRequests(manifest, digest, contributionTarget('manifests', 'a')));
  }

  test('too large, damaged, garbage, without header, with paths that leave the folder', async () => {
    await openRound('manifests');
    const described = await describeForTest(writeSingle(join(folder, 'tiny'), makeBase(7, TINY)));
    const digest = fromHex(described.artifact.manifestDigest);
    await expectError('MANIFEST_INVALID', () => beginWith(new Uint8Array(16 * 1024 * 1024 + 1), digest));
    const damaged = Uint8Array.from(described.manifest);
    damaged[damaged.length - 5] = (damaged[damaged.length - 5] as number) ^ 1;
    await expectError('DIGEST_MISMATCH', () => beginWith(damaged, digest));
    await expectError('MANIFEST_INVALID', () => beginWith(Buffer.from('this is not protobuf'), digest));
    async function* headless() {
      yield { part: { $case: 'manifestPart' as const, value: described.manifest } };
    }
    await expectError('MANIFEST_INVALID', () => running.connection.transfers.begin(headless()));
    const manifest = Manifest.decode(described.manifest);
    for (const path of ['../model.safetensors', '/etc/passwd', 'a/../../b.json', '.hidden', '']) {
      const files = manifest.files.map((file, index) => (index === 0 ? { ...file, path } : file));
      await expectError('MANIFEST_INVALID', () => beginWith(Manifest.encode({ ...manifest, files }).finish(), digest));
    }
  });

  test('the sizes in a manifest have to fit', async () => {
    const described = await describeForTest(writeSingle(join(folder, 'tiny-2'), makeBase(8, TINY)));
    const manifest = Manifest.decode(described.manifest);
    const change = (patch: object): Uint8Array =>
      Manifest.encode({
        ...manifest,
        files: manifest.files.map((file) => (file.path.endsWith('.safetensors') ? { ...file, ...patch } : file)),
      }).finish();
    const digest = fromHex(described.artifact.manifestDigest);
    await expectError('MANIFEST_INVALID', () => beginWith(change({ chunkDigests: new Uint8Array(31) }), digest));
    await expectError('SAFETENSORS_OFFSETS_INVALID', () => beginWith(change({ sizeBytes: 5_000_000n }), digest));
    await expectError('MANIFEST_INVALID', () => beginWith(change({ sizeBytes: 1n << 63n }), digest));
  });
});

test('a chunk that cannot be stored fails its stream at once', async () => {
  const { connection } = running;
  await openRound('unstorable');
  const described = await freshCheckpoint();
  const { uploadId } = await begin(connection, described, contributionTarget('unstorable', 'a'));
  const victim = largest(described, await findMissing(connection, uploadId));
  const shelf = join(running.dataDir, 'chunks', victim.slice(0, 2));
  renameSync(shelf, `${shelf}-gone`);
  const done = new AbortController();
  async function* openEnded(): AsyncGenerator<EncodedWrite> {
    yield* pieces(uploadId, victim, chunkBytes(described, victim)).map(encodeWrite);
    // The client goes on listening for its answer, as push does.
    await new Promise((resolve) => done.signal.addEventListener('abort', resolve));
  }
  try {
    await expectError('IO_ERROR', async () => {
      for await (const answer of connection.transfers.write(openEnded())) expect.unreachable(`${answer.state}`);
    });
  } finally {
    done.abort();
    renameSync(`${shelf}-gone`, shelf);
  }
  await eventually('nothing is left', () => (incoming().length === 0 ? true : undefined));
  await sendMissing(connection, described, uploadId);
  await connection.transfers.finalize({ uploadId });
});

test('chunks whose file disappeared are asked for again', async () => {
  const { connection } = running;
  await openRound('lost');
  const described = await freshCheckpoint();
  const { uploadId } = await begin(connection, described, contributionTarget('lost', 'a'));
  const victim = largest(described, await findMissing(connection, uploadId));
  await sendMissing(connection, described, uploadId);
  rmSync(join(running.dataDir, 'chunks', victim.slice(0, 2), victim));
  await expectError('UPLOAD_INCOMPLETE', () => connection.transfers.finalize({ uploadId }));
  expect(await findMissing(connection, uploadId)).toEqual([victim]);
  await sendMissing(connection, described, uploadId);
  await connection.transfers.finalize({ uploadId });
});
