/** Whatever is wrong with what a coordinator is given: a stable code, the exit code of its kind, and a message that says what, where, expected and got. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CATALOGUE, type ErrorCode } from '../../shared/errors/catalogue.js';
import { decodeFloats, fineTune, makeBase, TINY, writeSingle } from '../support/checkpoints.js';
import { type CliOptions, type CliResult, cliOk, errorOf, type ModelJson, type PushJson, type RoundJson, runCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { tempDir } from '../support/temp-dir.js';
import type { TestTensor } from '../support/write-checkpoint.js';

killLeftoversAfterAll();
const folder = tempDir();
const home = join(folder, 'home');
const path = (name: string): string => join(folder, name);
const base = makeBase(1, TINY);
const tuned = fineTune(base, 2);
let coordinator: CoordinatorProcess;
let cli: CliOptions;

beforeAll(async () => {
  mkdirSync(home);
  writeSingle(path('base'), base);
  writeSingle(path('other-base'), makeBase(9, TINY));
  writeSingle(path('tuned'), tuned);
  coordinator = await CoordinatorProcess.start({ dataDir: path('data'), home });
  cli = { home, server: coordinator.address };
  await cliOk(['base', 'push', path('base'), '--name', 'base'], cli);
  await cliOk(['base', 'push', path('other-base'), '--name', 'other'], cli);
  await cliOk(['round', 'create', 'r', '--base', 'base', '--method', 'linear'], cli);
});

afterAll(async () => {
  await coordinator.kill('SIGKILL');
});

/** Expects the command to have failed with this code, its exit code, and these words in its fields. */
function expectFailure(
  result: CliResult,
  code: ErrorCode,
  words: { what?: RegExp; where?: RegExp; expected?: RegExp; got?: RegExp; fix?: RegExp } = {},
): void {
  const error = errorOf(result);
  expect([error.code, result.code], result.stderr).toEqual([code, CATALOGUE[code].exit]);
  for (const [field, pattern] of Object.entries(words)) expect(error.details[field as keyof typeof words] ?? '', field).toMatch(pattern);
  expect(result.stderr).toContain(`[${code}]`);
  expect(result.stderr).not.toMatch(/\n {4}at /);
}

/** Pushes a changed version of the fine-tuned checkpoint. */
async function pushChanged(
  name: string,
  change: (tensors: TestTensor[]) => TestTensor[],
  options: { metadata?: Record<string, string>; flags?: string[] } = {},
): Promise<CliResult> {
  writeSingle(path(name), change([...tuned]), options.metadata);
  return runCli(['push', path(name), '--round', 'r', '--as', name, ...(options.flags ?? [])], cli);
}

function withValue(tensors: TestTensor[], index: number, value: number): TestTensor[] {
  return tensors.map((tensor) => {
    if (tensor.name !== 'a.weight') return tensor;
    const values = decodeFloats(tensor);
    values[index] = value;
    return { ...tensor, bytes: new Uint8Array(values.buffer) };
  });
}

/** The round's row of a contributor. */
async function rowOf(contributor: string) {
  const round = await cliOk<RoundJson>(['round', 'show', 'r'], cli);
  return round.contributions.find((row) => row.contributor === contributor);
}

describe('another base', () => {
  test('by --base', async () => {
    const result = await pushChanged('by-flag', (tensors) => tensors, { flags: ['--base', 'other'] });
    expectFailure(result, 'BASE_MISMATCH', {
      where: /base named in the push/,
      expected: /^base \([0-9a-f]{16}/,
      got: /^[0-9a-f]{16}/,
      fix: /pull base/,
    });
    expect(await rowOf('by-flag')).toMatchObject({ status: 'quarantined', reason: { code: 'BASE_MISMATCH' } });
  });

  test('by the metadata of the checkpoint', async () => {
    const result = await pushChanged('by-metadata', (tensors) => tensors, { metadata: { 'tributary.base_digest': 'ab'.repeat(32) } });
    expectFailure(result, 'BASE_MISMATCH', { where: /tributary\.base_digest/, got: /^abab/ });
    const [own] = (await cliOk<ModelJson[]>(['base', 'list'], cli)).filter(({ name }) => name === 'base') as [ModelJson];
    const right = await pushChanged('right-metadata', (tensors) => tensors, { metadata: { 'tributary.base_digest': own.weightsDigest } });
    expect(right.code, right.stderr).toBe(0);
  });
});

describe('another structure: refused before a byte is sent, and to be seen in the round', () => {
  const cases: [string, ErrorCode, (tensors: TestTensor[]) => TestTensor[], RegExp][] = [
    [
      'shape',
      'SHAPE_MISMATCH',
      (tensors) => tensors.map((tensor) => (tensor.name === 'b.weight' ? { ...tensor, shape: [160, 100] } : tensor)),
      /b\.weight/,
    ],
    ['missing', 'TENSOR_MISSING', (tensors) => tensors.filter(({ name }) => name !== 'b.bias'), /b\.bias/],
    ['extra', 'TENSOR_EXTRA', (tensors) => [...tensors, { ...(tensors[0] as TestTensor), name: 'head.weight' }], /head\.weight/],
    [
      'dtype',
      'DTYPE_MISMATCH',
      (tensors) => tensors.map((tensor) => (tensor.name === 'a.weight' ? { ...tensor, dtype: 'I32' as const } : tensor)),
      /a\.weight/,
    ],
  ];
  test.each(cases)('%s', async (name, code, change, tensor) => {
    const before = await coordinator.metric('tributary_received_bytes_total');
    const result = await pushChanged(name, change);
    expectFailure(result, code);
    const { message, details } = { message: result.stderr, ...errorOf(result) };
    expect(message).toMatch(tensor);
    expect(details.where).toContain(name);
    expect([typeof details.expected, typeof details.got]).toEqual(['string', 'string']);
    expect(await coordinator.metric('tributary_received_bytes_total')).toBe(before);
    expect(await rowOf(name)).toMatchObject({ status: 'quarantined', reason: { code } });
  });
});

describe('weights that are no numbers', () => {
  test.each([
    ['nan', Number.NaN],
    ['infinity', Number.NEGATIVE_INFINITY],
  ])('%s is put in quarantine', async (name, value) => {
    const result = await pushChanged(name, (tensors) => withValue(tensors, 4321, value));
    expectFailure(result, 'NON_FINITE', {
      what: /a\.weight/,
      where: /4321.*of (nan|infinity)/,
      got: new RegExp(`${value}`),
      expected: /finite/,
    });
    expect(await rowOf(name)).toMatchObject({ status: 'quarantined', reason: { code: 'NON_FINITE' } });
    const { stdout } = await runCli(['round', 'show', 'r'], { ...cli, format: 'table' });
    expect(stdout).toMatch(new RegExp(`${name} is in quarantine: .*a\\.weight`));
    const again = await runCli(['push', path(name), '--round', 'r', '--as', name], cli);
    expectFailure(again, 'NON_FINITE');
    const repaired = await runCli(['push', path('tuned'), '--round', 'r', '--as', name], cli);
    expect(repaired.code).toBe(0);
    expect(await rowOf(name)).toMatchObject({ status: 'accepted', reason: null });
  });

  test('as a base is refused', async () => {
    writeSingle(path('nan-base'), withValue([...base], 7, Number.NaN));
    expectFailure(await runCli(['base', 'push', path('nan-base'), '--name', 'nan-base'], cli), 'NON_FINITE', { where: /nan-base/ });
    expect((await cliOk<ModelJson[]>(['base', 'list', '--all'], cli)).some(({ name }) => name === 'nan-base')).toBe(false);
    expectFailure(await runCli(['base', 'push', path('nan-base'), '--name', 'nan-base'], cli), 'NON_FINITE');
  });

  test('a bad push does not undo an earlier good one', async () => {
    expect((await pushChanged('good-then-bad', (tensors) => tensors)).code).toBe(0);
    expectFailure(await pushChanged('good-then-bad', (tensors) => withValue(tensors, 1, Number.NaN)), 'NON_FINITE');
    expect(await rowOf('good-then-bad')).toMatchObject({ status: 'accepted' });
  });
});

describe('names and states', () => {
  test('unknown round, base and model', async () => {
    expectFailure(await runCli(['push', path('tuned'), '--round', 'nowhere'], cli), 'ROUND_NOT_FOUND', {
      what: /nowhere/,
      fix: /round list/,
    });
    expectFailure(await runCli(['round', 'show', 'nowhere'], cli), 'ROUND_NOT_FOUND');
    expectFailure(await runCli(['round', 'watch', 'nowhere'], cli), 'ROUND_NOT_FOUND');
    expectFailure(await runCli(['round', 'create', '--base', 'nowhere'], cli), 'MODEL_NOT_FOUND', { what: /nowhere/, fix: /base list/ });
    expectFailure(await runCli(['pull', 'nowhere', '--out', path('nowhere')], cli), 'MODEL_NOT_FOUND');
    expectFailure(await runCli(['push', path('tuned'), '--round', 'r', '--base', 'nowhere'], cli), 'MODEL_NOT_FOUND');
    expectFailure(await runCli(['round', 'withdraw', 'r', 'nobody'], cli), 'CONTRIBUTION_NOT_FOUND', { what: /nobody/ });
  });

  test('a closed round', async () => {
    await cliOk(['round', 'create', 'closed', '--base', 'base'], cli);
    await cliOk(['round', 'cancel', 'closed'], cli);
    expectFailure(await runCli(['push', path('tuned'), '--round', 'closed', '--as', 'a'], cli), 'ROUND_CLOSED', {
      what: /closed is cancelled/,
    });
  });

  test('taken and unusable names', async () => {
    expectFailure(await runCli(['base', 'push', path('tuned'), '--name', 'base'], cli), 'NAME_TAKEN', {
      what: /base/,
      expected: /same files/,
    });
    expectFailure(await runCli(['base', 'push', path('tuned'), '--name', 'r'], cli), 'NAME_TAKEN');
    expectFailure(await runCli(['round', 'create', 'base', '--base', 'base'], cli), 'NAME_TAKEN');
    expectFailure(await runCli(['round', 'create', 'r', '--base', 'base'], cli), 'NAME_TAKEN');
    expectFailure(await runCli(['round', 'create', '../r', '--base', 'base'], cli), 'USAGE', { what: /round name/ });
    expectFailure(await runCli(['base', 'push', path('base'), '--name', 'a/b'], cli), 'USAGE');
    expectFailure(await runCli(['push', path('tuned'), '--round', 'r', '--as', 'a/../b'], cli), 'USAGE', { fix: /--as/ });
  });

  test('a round that cannot be', async () => {
    expectFailure(await runCli(['round', 'create', '--base', 'base', '--deadline', '2001-01-01T00:00Z'], cli), 'USAGE', {
      what: /deadline/,
    });
    expectFailure(await runCli(['round', 'create', '--base', 'base', '--deadline', 'soon'], cli), 'USAGE', { expected: /90s/ });
    expectFailure(await runCli(['round', 'create', '--base', 'base', '--quorum', '1', '--min', '2'], cli), 'USAGE', { what: /quorum/ });
    writeFileSync(path('recipe.yaml'), 'merge_methd: linear\n');
    const result = await runCli(['round', 'create', 'unborn', '--base', 'base', '--recipe', path('recipe.yaml')], cli);
    expectFailure(result, 'RECIPE_UNKNOWN_KEY', { what: /merge_methd/ });
    expectFailure(await runCli(['round', 'show', 'unborn'], cli), 'ROUND_NOT_FOUND');
  });

  test('a coordinator that is not there', async () => {
    const result = await runCli(['--patience', '0', 'round', 'list'], { home, server: '127.0.0.1:1' });
    expectFailure(result, 'COORDINATOR_UNAVAILABLE', { where: /127\.0\.0\.1:1/, fix: /--server/ });
  });
});

describe('starting a coordinator', () => {
  async function startFails(args: readonly string[]): Promise<CliResult> {
    return runCli(['coordinator', ...args], { home, timeoutMs: 30_000 });
  }
  const free = ['--listen', '127.0.0.1:0', '--http', '127.0.0.1:0'];

  test('a port in use, gRPC or HTTP', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    try {
      const grpc = await startFails(['--data', path('d1'), '--listen', `127.0.0.1:${port}`, '--http', '127.0.0.1:0']);
      expectFailure(grpc, 'PORT_IN_USE', { where: new RegExp(`:${port}$`), fix: /--listen/ });
      const http = await startFails(['--data', path('d2'), '--listen', '127.0.0.1:0', '--http', `127.0.0.1:${port}`]);
      expectFailure(http, 'PORT_IN_USE', { where: new RegExp(`:${port}$`) });
    } finally {
      taken.close();
    }
  });

  test('a data folder that another coordinator uses', async () => {
    expectFailure(await startFails(['--data', path('data'), ...free]), 'DATA_DIR_LOCKED', { where: /data$/, fix: /--data/ });
    expect((await coordinator.http('/healthz')).status).toBe(200);
  });

  test('keys and values the configuration does not know', async () => {
    writeFileSync(path('config.yaml'), 'lsten: 127.0.0.1:0\n');
    expectFailure(await startFails(['--config', path('config.yaml')]), 'CONFIG_INVALID', {
      what: /lsten/,
      where: /config\.yaml/,
      expected: /listen/,
    });
    writeFileSync(path('config.yaml'), 'maxStreams: many\n');
    expectFailure(await startFails(['--config', path('config.yaml')]), 'CONFIG_INVALID', { what: /maxStreams/ });
    expectFailure(await startFails(['--config', path('no-such.yaml')]), 'CONFIG_INVALID', { where: /no-such\.yaml/ });
    expectFailure(await startFails(['--listen', 'nonsense']), 'CONFIG_INVALID', { what: /listen/ });
    expectFailure(await startFails(['--log-level', 'loud']), 'CONFIG_INVALID', { what: /logLevel/ });
  });

  test("keys the client's configuration does not know", async () => {
    writeFileSync(path('client.yaml'), 'sever: 127.0.0.1:7070\n');
    expectFailure(await runCli(['--config', path('client.yaml'), 'round', 'list'], { home }), 'CONFIG_INVALID', {
      what: /sever/,
      expected: /server/,
    });
  });
});

describe('tokens', () => {
  test('who may do what', async () => {
    writeFileSync(path('tokens.yaml'), 'tokens:\n  operator: operator-secret\n  alice: alice-secret\n  bob: bob-secret-1\n');
    const guarded = await CoordinatorProcess.start({ dataDir: path('guarded'), home, args: ['--config', path('tokens.yaml')] });
    const as = (token: string | undefined): CliOptions => ({
      home,
      server: guarded.address,
      ...(token === undefined ? {} : { env: { TRIBUTARY_TOKEN: token } }),
    });
    try {
      for (const token of [undefined, 'wrong-secret']) {
        const commands = [
          ['base', 'push', path('base'), '--name', 'base'],
          ['base', 'list'],
          ['round', 'list'],
          ['round', 'create', 'r', '--base', 'base'],
          ['round', 'close', 'r'],
          ['round', 'cancel', 'r'],
          ['pull', 'base', '--out', path('stolen')],
          ['push', path('tuned'), '--round', 'r', '--as', 'alice'],
        ];
        for (const command of commands) expectFailure(await runCli(command, as(token)), 'UNAUTHENTICATED', { fix: /TRIBUTARY_TOKEN/ });
      }
      await cliOk(['base', 'push', path('base'), '--name', 'base'], as('operator-secret'));
      await cliOk(['round', 'create', 'r', '--base', 'base', '--method', 'linear'], as('operator-secret'));
      const own = await cliOk<PushJson>(['push', path('tuned'), '--round', 'r', '--as', 'alice'], as('alice-secret'));
      expect(own.contribution.contributor).toBe('alice');
      const forged = await runCli(['push', path('tuned'), '--round', 'r', '--as', 'alice'], as('bob-secret-1'));
      expectFailure(forged, 'PERMISSION_DENIED', { what: /bob/, expected: /alice/ });
      expectFailure(await runCli(['round', 'withdraw', 'r', 'alice'], as('bob-secret-1')), 'PERMISSION_DENIED');
      await cliOk(['round', 'withdraw', 'r', 'alice'], as('operator-secret'));
      expect((await guarded.http('/healthz')).status).toBe(200);
    } finally {
      await guarded.kill();
    }
  });
});

describe('a full disk', () => {
  test('is told to the client, and the coordinator lives on', async () => {
    const reserve = await CoordinatorProcess.start({
      dataDir: path('reserved'),
      home,
      args: ['--config', configWith('reserveBytes: 9000000000000000')],
    });
    try {
      const refused = await runCli(['base', 'push', path('base'), '--name', 'base'], { home, server: reserve.address });
      expectFailure(refused, 'DISK_FULL', { what: /room/, expected: /bytes free/, got: /bytes/ });
      expect((await reserve.http('/readyz')).status).toBe(200);
    } finally {
      await reserve.kill();
    }
  });

  test('in the middle of an upload loses nothing that was acknowledged', async () => {
    const big = makeBase(3, [
      { name: 'small', dtype: 'F32', shape: [200, 200] },
      { name: 'big', dtype: 'F32', shape: [1024, 1024] },
    ]);
    writeSingle(path('big'), big);
    // No file of this coordinator may pass 2 MiB: a whole chunk does not fit.
    const dataDir = path('full');
    const limited = await CoordinatorProcess.start({ dataDir, home, fileLimitKib: 2048 });
    const refused = await runCli(['base', 'push', path('big'), '--name', 'big'], { home, server: limited.address, timeoutMs: 40_000 });
    expectFailure(refused, 'DISK_FULL', { fix: /resumes/ });
    expect((await limited.http('/readyz')).status).toBe(200);
    expect(readdirSync(join(dataDir, 'incoming'))).toEqual([]);
    await cliOk(['base', 'push', path('base'), '--name', 'fits'], { home, server: limited.address });
    await limited.kill();
    const roomy = await CoordinatorProcess.start({ dataDir, home });
    try {
      const report = await cliOk<PushJson>(['base', 'push', path('big'), '--name', 'big'], { home, server: roomy.address });
      expect(report.sentBytes + report.savedBytes).toBe(report.totalBytes);
    } finally {
      await roomy.kill();
    }
  });

  function configWith(line: string): string {
    writeFileSync(path('reserve.yaml'), `${line}\n`);
    return path('reserve.yaml');
  }
});
