/** Whole rounds through the command line, against a coordinator process: what people do, and what they are told. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseSafetensorsHeader } from '../../shared/formats/safetensors-header.js';
import { decodeFloats, FEW_CHUNKS, fineTune, makeBase, makeDelta, TINY, writeSharded, writeSingle } from '../support/checkpoints.js';
import {
  type ContributionJson,
  cliOk,
  errorOf,
  type ModelJson,
  type PullJson,
  type PushJson,
  type RoundJson,
  runCli,
  startCli,
} from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { eventually } from '../support/eventually.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { tempDir } from '../support/temp-dir.js';
import type { TestTensor } from '../support/write-checkpoint.js';

killLeftoversAfterAll();
const folder = tempDir();
const home = join(folder, 'home');
const base = makeBase(1, FEW_CHUNKS);
const unchanged = new Set(['layers.1.gate', 'embed.weight']);
/** Fine-tuned but for two tensors. */
const tunedA = fineTune(base, 2).map((tensor, index) => (unchanged.has(tensor.name) ? (base[index] as TestTensor) : tensor));
const tunedB = fineTune(base, 3);
const deltaC = makeDelta(base, 4);
const path = (name: string): string => join(folder, name);
let coordinator: CoordinatorProcess;

const cli = () => ({ home, server: coordinator.address });
const sizeOf = (tensors: readonly TestTensor[]): number => tensors.reduce((sum, tensor) => sum + tensor.bytes.length, 0);

function readModel(file: string): Map<string, TestTensor> {
  const bytes = readFileSync(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const { tensors } = parseSafetensorsHeader(bytes.subarray(8, 8 + headerBytes), { fileSizeBytes: bytes.length, where: file });
  return new Map(
    tensors.map((tensor) => [tensor.name, { ...tensor, bytes: bytes.subarray(tensor.offset, tensor.offset + tensor.sizeBytes) }]),
  );
}

async function show(name: string): Promise<RoundJson> {
  return cliOk<RoundJson>(['round', 'show', name], cli());
}

beforeAll(async () => {
  mkdirSync(home);
  writeSingle(path('base'), base);
  writeSingle(path('a'), tunedA);
  writeSharded(path('b'), tunedB, 3);
  writeSingle(path('c'), deltaC);
  writeSingle(path('tiny-base'), makeBase(1, TINY));
  for (const seed of [11, 12, 13]) writeSingle(path(`tiny-${seed}`), fineTune(makeBase(1, TINY), seed));
  coordinator = await CoordinatorProcess.start({ dataDir: path('data'), home });
  await cliOk(['base', 'push', path('tiny-base'), '--name', 'tiny'], cli());
});

afterAll(async () => {
  await coordinator.kill('SIGKILL');
});

describe('a round from its base to its model', () => {
  let baseModel: ModelJson;
  const pushed: Record<string, PushJson> = {};

  test('the base is registered once and listed', async () => {
    const first = await cliOk<PushJson & { model: ModelJson }>(['base', 'push', path('base'), '--name', 'llama'], cli());
    // config.json is that of the base pushed before.
    expect(first.savedBytes).toBe(readFileSync(join(path('base'), 'config.json')).length);
    expect(first.sentBytes).toBe(first.totalBytes - first.savedBytes);
    const second = await cliOk<PushJson & { model: ModelJson }>(['base', 'push', path('base'), '--name', 'llama'], cli());
    expect(second.sentBytes).toBe(0);
    expect(second.model).toEqual(first.model);
    const bases = await cliOk<ModelJson[]>(['base', 'list'], cli());
    baseModel = bases.find(({ name }) => name === 'llama') as ModelJson;
    expect(baseModel).toMatchObject({ origin: 'base', version: 0, tensors: base.length, weightsDigest: first.model.weightsDigest });
  });

  test('three contributions: full, sharded, delta', async () => {
    const created = await cliOk<RoundJson>(['round', 'create', 'first', '--base', 'llama', '--method', 'fedavg', '--min', '3'], cli());
    expect(created).toMatchObject({ name: 'first', state: 'open', contributions: [] });
    pushed['a'] = await cliOk(['push', path('a'), '--round', 'first', '--as', 'a', '--samples', '100', '--base', 'llama'], cli());
    pushed['b'] = await cliOk(['push', path('b'), '--round', 'first', '--as', 'b', '--samples', '300', '--steps', '7'], cli());
    pushed['c'] = await cliOk(['push', path('c'), '--round', 'first', '--as', 'c', '--samples', '200', '--kind', 'delta'], cli());
    const round = await show('first');
    expect(round.contributions.map(({ contributor, status, kind, samples, steps }) => [contributor, status, kind, samples, steps])).toEqual(
      [
        ['a', 'accepted', 'full', 100, null],
        ['b', 'accepted', 'full', 300, 7],
        ['c', 'accepted', 'delta', 200, null],
      ],
    );
  });

  test('unchanged tensors are never sent', () => {
    const changed = tunedA.filter((tensor) => !unchanged.has(tensor.name) && tensor.dtype !== 'I64');
    expect(pushed['a']?.sentBytes).toBe(sizeOf(changed));
    expect(pushed['a']?.savedBytes).toBe((pushed['a']?.totalBytes ?? 0) - sizeOf(changed));
    expect(pushed['a']?.contribution.sentBytes).toBe(sizeOf(changed));
  });

  test('the second push of the same folder sends nothing', async () => {
    const again = await cliOk<PushJson>(['push', path('b'), '--round', 'first', '--as', 'b', '--samples', '300', '--steps', '7'], cli());
    expect(again.sentBytes).toBe(0);
    expect(again.contribution).toEqual(pushed['b']?.contribution);
    const inAnotherName = await cliOk<PushJson>(['push', path('b'), '--round', 'first', '--as', 'z'], cli());
    expect(inAnotherName.sentBytes).toBe(0);
    await cliOk(['round', 'withdraw', 'first', 'z'], cli());
  });

  test('the norms are those of the task vectors', async () => {
    const round = await show('first');
    const normOf = (name: string): number =>
      (round.contributions.find(({ contributor }) => contributor === name) as ContributionJson).taskVectorNorm;
    const square = (delta: (tensor: TestTensor, index: number) => Float32Array): number =>
      Math.sqrt(
        base.reduce(
          (sum, tensor, index) =>
            tensor.dtype === 'I64' ? sum : sum + delta(tensor, index).reduce((inner, value) => inner + value * value, 0),
          0,
        ),
      );
    const difference = (tuned: readonly TestTensor[]) => (tensor: TestTensor, index: number) => {
      const old = decodeFloats(tensor);
      return decodeFloats(tuned[index] as TestTensor).map((value, at) => Math.fround(value - (old[at] as number)));
    };
    expect(normOf('a') / square(difference(tunedA))).toBeCloseTo(1, 6);
    expect(normOf('b') / square(difference(tunedB))).toBeCloseTo(1, 6);
    expect(normOf('c') / square((_, index) => decodeFloats(deltaC[index] as TestTensor))).toBeCloseTo(1, 6);
  });

  test('the table that people see', async () => {
    const { stdout, code } = await runCli(['round', 'show', 'first'], { ...cli(), format: 'table' });
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    const head = lines.find((line) => line.startsWith('contributor')) as string;
    expect(head.trim().split(/\s{2,}/)).toEqual(['contributor', 'status', 'kind', 'samples', 'steps', 'norm', 'sent', 'saved']);
    const row = lines.find((line) => line.startsWith('b ')) as string;
    expect(
      row
        .trim()
        .split(/\s{2,}/)
        .slice(0, 5),
    ).toEqual(['b', 'accepted', 'full', '300', '7']);
    expect(stdout).toContain('3 of 4 contributors accepted');
  });

  test('watch follows the round to the model, close waits for it', async () => {
    const watching = startCli(['round', 'watch', 'first'], cli());
    let notes = '';
    watching.child.stderr?.on('data', (text: string) => {
      notes += text;
    });
    await eventually('the watcher is there', () => (notes.includes('round first is open') ? true : undefined));
    const closed = await cliOk<RoundJson>(['round', 'close', 'first'], cli());
    expect(closed).toMatchObject({ state: 'published', model: 'first' });
    const watched = await watching.result;
    expect(watched.code).toBe(0);
    expect((watched.json as RoundJson).state).toBe('published');
    expect(watched.stderr).toContain('round.merging');
    expect(watched.stderr).toContain('round.published');
  });

  test('the merged numbers are the weighted mean', async () => {
    await cliOk<PullJson>(['pull', 'first', '--out', path('merged')], cli());
    const merged = readModel(join(path('merged'), 'model.safetensors'));
    expect([...merged.keys()].sort()).toEqual(base.map(({ name }) => name).sort());
    base.forEach((tensor, index) => {
      const result = merged.get(tensor.name) as TestTensor;
      expect([result.dtype, result.shape]).toEqual([tensor.dtype, tensor.shape]);
      if (tensor.dtype === 'I64') {
        expect(Buffer.from(result.bytes).equals(tensor.bytes), tensor.name).toBe(true);
        return;
      }
      const [old, a, b, c, got] = [tensor, tunedA[index], tunedB[index], deltaC[index], result].map((one) =>
        decodeFloats(one as TestTensor),
      ) as [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array];
      const tolerance = tensor.dtype === 'BF16' ? 2 ** -8 : 1e-6;
      let worst = 0;
      for (let at = 0; at < old.length; at++) {
        const [o, x, y, z] = [old[at], a[at], b[at], c[at]] as [number, number, number, number];
        const wanted = o + (100 * (x - o) + 300 * (y - o) + 200 * z) / 600;
        worst = Math.max(worst, Math.abs((got[at] as number) - wanted) / (1 + Math.abs(wanted)));
      }
      expect(worst, tensor.name).toBeLessThanOrEqual(tolerance);
    });
  });

  test('pull by round, model and digest gives the same files, each checked', async () => {
    const { model } = await cliOk<PullJson>(['pull', 'first', '--out', path('by-name')], cli());
    await cliOk(['pull', model.weightsDigest, '--out', path('by-digest')], cli());
    await cliOk(['pull', model.weightsDigest.slice(0, 12), '--out', path('by-prefix')], cli());
    const files = ['model.safetensors', 'config.json', 'README.md'];
    for (const other of ['by-digest', 'by-prefix', 'merged']) {
      for (const file of files)
        expect(readFileSync(join(path(other), file)).equals(readFileSync(join(path('by-name'), file))), `${other}/${file}`).toBe(true);
    }
    const origin = JSON.parse(readFileSync(join(path('by-name'), 'tributary.json'), 'utf8')) as Record<string, unknown>;
    expect(origin).toMatchObject({ model: 'first', weights_digest: model.weightsDigest, version: 1 });
    await cliOk(['pull', 'llama', '--out', path('base-back')], cli());
    expect(readFileSync(join(path('base-back'), 'model.safetensors')).equals(readFileSync(join(path('base'), 'model.safetensors')))).toBe(
      true,
    );
  });

  test('a published model is the base of a next round', async () => {
    await cliOk(['round', 'create', 'second', '--base', 'first', '--quorum', '1'], cli());
    const report = await cliOk<PushJson>(
      ['push', path('merged'), '--round', 'second', '--as', 'a', '--base', path('merged'), '--samples', '1'],
      cli(),
    );
    expect(report.sentBytes).toBeLessThan(1000);
    const round = await cliOk<RoundJson>(['round', 'watch', 'second'], cli());
    expect(round.state).toBe('published');
    const models = await cliOk<ModelJson[]>(['base', 'list', '--all'], cli());
    const [second, first] = ['second', 'first'].map((name) => models.find((model) => model.name === name) as ModelJson) as [
      ModelJson,
      ModelJson,
    ];
    expect(second.version).toBe(2);
    expect(second.weightsDigest).toBe(first.weightsDigest);
  });
});

describe('ways a round goes', () => {
  async function create(name: string, ...flags: string[]): Promise<RoundJson> {
    return cliOk<RoundJson>(['round', 'create', name, '--base', 'tiny', '--method', 'linear', ...flags], cli());
  }
  async function push(seed: number, round: string, contributor: string): Promise<PushJson> {
    return cliOk<PushJson>(['push', path(`tiny-${seed}`), '--round', round, '--as', contributor], cli());
  }

  test('a newer push of the same contributor supersedes the older', async () => {
    await create('supersede');
    const old = await push(11, 'supersede', 'a');
    const young = await push(12, 'supersede', 'a');
    const { contributions } = await show('supersede');
    expect(contributions.length).toBe(1);
    expect(contributions[0]?.weightsDigest).toBe(young.contribution.weightsDigest);
    const back = await push(11, 'supersede', 'a');
    expect(back.sentBytes).toBe(0);
    expect((await show('supersede')).contributions.map(({ weightsDigest }) => weightsDigest)).toEqual([old.contribution.weightsDigest]);
  });

  test('a withdrawn contribution takes no part and can come back', async () => {
    await create('withdraw');
    await push(11, 'withdraw', 'a');
    await push(12, 'withdraw', 'b');
    const after = await cliOk<RoundJson>(['round', 'withdraw', 'withdraw', 'a'], cli());
    expect(after.contributions.map(({ status }) => status)).toEqual(['withdrawn', 'accepted']);
    expect(errorOf(await runCli(['round', 'withdraw', 'withdraw', 'a'], cli())).code).toBe('CONTRIBUTION_NOT_FOUND');
    await push(13, 'withdraw', 'a');
    expect((await show('withdraw')).contributions.map(({ status }) => status)).toEqual(['accepted', 'accepted']);
    await cliOk(['round', 'withdraw', 'withdraw', 'a'], cli());
    const closed = await cliOk<RoundJson>(['round', 'close', 'withdraw'], cli());
    expect(closed.state).toBe('published');
    const { model } = await cliOk<PullJson>(['pull', 'withdraw', '--out', path('withdraw-out')], cli());
    expect(model.weightsDigest).toBe((await push(12, (await create('alone')).name, 'b')).contribution.weightsDigest);
  });

  test('the quorum closes the round', async () => {
    await create('quorum', '--quorum', '2');
    await push(11, 'quorum', 'a');
    expect((await show('quorum')).state).toBe('open');
    await push(12, 'quorum', 'b');
    expect((await cliOk<RoundJson>(['round', 'watch', 'quorum'], cli())).state).toBe('published');
    const late = await runCli(['push', path('tiny-13'), '--round', 'quorum', '--as', 'c'], cli());
    expect([late.code, errorOf(late).code]).toEqual([4, 'ROUND_CLOSED']);
  });

  test('the deadline closes the round when enough came', async () => {
    await create('deadline-met', '--deadline', '6s', '--min', '1');
    await push(11, 'deadline-met', 'a');
    expect((await cliOk<RoundJson>(['round', 'watch', 'deadline-met'], cli())).state).toBe('published');
  });

  test('the deadline fails the round when too few came', async () => {
    await create('deadline-missed', '--deadline', '1s', '--min', '2');
    const watched = await runCli(['round', 'watch', 'deadline-missed'], cli());
    expect([watched.code, errorOf(watched).code]).toEqual([4, 'NO_CONTRIBUTIONS']);
    const round = await show('deadline-missed');
    expect([round.state, round.error?.code]).toEqual(['failed', 'NO_CONTRIBUTIONS']);
  });

  test('too few contributions keep a round open', async () => {
    await create('too-few', '--min', '2');
    await push(11, 'too-few', 'a');
    const closing = await runCli(['round', 'close', 'too-few'], cli());
    expect([closing.code, errorOf(closing).code]).toEqual([4, 'NO_CONTRIBUTIONS']);
    expect((await show('too-few')).state).toBe('open');
  });

  test('a cancelled round ends without a model', async () => {
    await create('cancel');
    await push(11, 'cancel', 'a');
    expect((await cliOk<RoundJson>(['round', 'cancel', 'cancel'], cli())).state).toBe('cancelled');
    expect((await cliOk<RoundJson>(['round', 'cancel', 'cancel'], cli())).state).toBe('cancelled');
    expect(errorOf(await runCli(['round', 'close', 'cancel'], cli())).code).toBe('ROUND_CLOSED');
    expect(errorOf(await runCli(['pull', 'cancel', '--out', path('cancel-out')], cli())).code).toBe('MODEL_NOT_FOUND');
  });

  test('a merge that fails says why, and closing again tries again', async () => {
    await cliOk(['round', 'create', 'fails', '--base', 'tiny', '--method', 'fedavg'], cli());
    await push(11, 'fails', 'a');
    const closing = await runCli(['round', 'close', 'fails'], cli());
    expect([closing.code, errorOf(closing).code]).toEqual([4, 'SAMPLES_MISSING']);
    const failed = await show('fails');
    expect([failed.state, failed.error?.code]).toEqual(['failed', 'SAMPLES_MISSING']);
    const again = await runCli(['round', 'close', 'fails'], cli());
    expect(errorOf(again).code).toBe('SAMPLES_MISSING');
  });

  test('a round without a name gets one, and rounds are listed newest first', async () => {
    const named = await cliOk<RoundJson>(['round', 'create', '--base', 'tiny', '--method', 'linear'], cli());
    expect(named.name).toMatch(/^[a-z]+-\d+$/);
    const rounds = await cliOk<RoundJson[]>(['round', 'list'], cli());
    expect(rounds[0]?.name).toBe(named.name);
  });
});
