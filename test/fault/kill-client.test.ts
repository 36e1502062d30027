/**
 * A client is killed with SIGKILL in the middle of its transfer, again and again; the next run of the same command goes on where the
 * last one was. TRIBUTARY_TEST_KILLS makes it longer, TRIBUTARY_TEST_SEED repeats a run.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fineTune, makeBase, randomFrom, writeSharded, writeSingle } from '../support/checkpoints.js';
import { cliOk, type ModelJson, type PullJson, type PushJson, type RoundJson, runCli, startCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { type DelayProxy, startDelayProxy } from '../support/delay-proxy.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { describeForTest } from '../support/raw-transfer.js';
import { tempDir } from '../support/temp-dir.js';

const KILLS = Number(process.env['TRIBUTARY_TEST_KILLS'] ?? 50);
const PULL_KILLS = Math.ceil(KILLS / 10);
const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? Date.now() % 1_000_000);
const STREAMS = 4;
const CHUNK_BYTES = 4 * 1024 * 1024;
const MEBI = 1024 * 1024;

killLeftoversAfterAll();
const folder = tempDir();
const home = join(folder, 'home');
const random = randomFrom(SEED);
const base = makeBase(1);
let coordinator: CoordinatorProcess;
let line: DelayProxy;
let killAtUploaded = Number.POSITIVE_INFINITY;
let killAtDownloaded = Number.POSITIVE_INFINITY;
let victim: ReturnType<typeof startCli> | undefined;

function strikeAt(limit: number, totalBytes: number): void {
  if (totalBytes >= limit) victim?.child.kill('SIGKILL');
}

beforeAll(async () => {
  mkdirSync(home);
  coordinator = await CoordinatorProcess.start({ dataDir: join(folder, 'data'), home });
  line = await startDelayProxy({
    targetPort: coordinator.grpcPort,
    onUpload: (bytes) => strikeAt(killAtUploaded, bytes),
    onDownload: (bytes) => strikeAt(killAtDownloaded, bytes),
  });
  await cliOk(['base', 'push', writeSharded(join(folder, 'base'), base, 3), '--name', 'base'], { home, server: coordinator.address });
  await cliOk<RoundJson>(['round', 'create', 'r', '--base', 'base'], { home, server: coordinator.address });
});

afterAll(async () => {
  await line.close();
  await coordinator.kill('SIGKILL');
});

/** Runs the command; true if it was killed on the way. */
async function runUntilKilled(args: readonly string[]): Promise<boolean> {
  victim = startCli(args, { home, server: line.address });
  const { code, stderr } = await victim.result;
  killAtUploaded = Number.POSITIVE_INFINITY;
  killAtDownloaded = Number.POSITIVE_INFINITY;
  if (code !== null) expect(code, stderr).toBe(0);
  return code === null;
}

describe(`clients killed ${KILLS} times (TRIBUTARY_TEST_SEED=${SEED})`, () => {
  test('pushes go on where they were', { timeout: 60_000 + KILLS * 10_000 }, async () => {
    const before = await coordinator.metric('tributary_received_bytes_total');
    let neededBytes = 0;
    let kills = 0;
    for (let seed = 10; kills < KILLS; seed++) {
      const checkpoint = writeSingle(join(folder, `tuned-${seed}`), fineTune(base, seed));
      const command = ['push', checkpoint, '--round', 'r', '--as', `team-${seed}`];
      for (let over = false; !over; ) {
        if (kills < KILLS) killAtUploaded = line.uploadedBytes + random() * 20 * MEBI;
        if (await runUntilKilled(command)) kills++;
        else over = true;
      }
      const again = await cliOk<PushJson>(command, { home, server: coordinator.address });
      expect(again.sentBytes).toBe(0);
      const { artifact } = await describeForTest(checkpoint);
      expect(again.contribution.weightsDigest).toBe(artifact.weightsDigest);
      expect(again.contribution.status).toBe('accepted');
      neededBytes += again.contribution.sentBytes;
    }
    const received = (await coordinator.metric('tributary_received_bytes_total')) - before;
    expect(received).toBeGreaterThanOrEqual(neededBytes);
    expect(received - neededBytes).toBeLessThanOrEqual(kills * STREAMS * CHUNK_BYTES);
    const round = await cliOk<RoundJson>(['round', 'show', 'r'], { home, server: coordinator.address });
    expect(round.contributions.map(({ status }) => status)).toEqual(round.contributions.map(() => 'accepted'));
    expect(readdirSync(join(folder, 'data', 'incoming'))).toEqual([]);
    process.stdout.write(
      `killed ${kills} times; ${((received - neededBytes) / 1e6).toFixed(1)} MB received beyond ${(neededBytes / 1e6).toFixed(1)}; seed ${SEED}\n`,
    );
  });

  test('pulls go on where they were', { timeout: 60_000 + PULL_KILLS * 10_000 }, async () => {
    const outDir = join(folder, 'pulled');
    const command = ['pull', 'base', '--out', outDir];
    const [model] = await cliOk<ModelJson[]>(['base', 'list'], { home, server: coordinator.address });
    let kills = 0;
    for (; kills < PULL_KILLS; kills++) {
      killAtDownloaded = line.downloadedBytes + (0.05 + 0.3 * random()) * MEBI * 27;
      if (!(await runUntilKilled(command))) break;
      expect(readdirSync(folder)).not.toContain('pulled');
    }
    expect(kills).toBeGreaterThan(0);
    if (!readdirSync(folder).includes('pulled')) {
      const last = await cliOk<PullJson>(command, { home, server: coordinator.address });
      expect(last.savedBytes).toBeGreaterThan(0);
    }
    for (const name of readdirSync(join(folder, 'base')).filter((file) => file !== 'config.json')) {
      expect(readFileSync(join(outDir, name)).equals(readFileSync(join(folder, 'base', name))), name).toBe(true);
    }
    expect((await describeForTest(outDir)).artifact.weightsDigest).toBe(model?.weightsDigest);
    const second = await runCli(command, { home, server: coordinator.address });
    expect(second.code).toBe(2);
  });
});
