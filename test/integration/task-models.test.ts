/** A round that keeps one model for each task: the masks travel with the model, and each contributor gets its own model back. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { TASK_MASKS_FILE } from '../../shared/merge/task-masks.js';
import { fineTune, makeBase, TINY, writeSingle } from '../support/checkpoints.js';
import { cliOk, errorOf, type ModelJson, type PullJson, type RoundJson, runCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { tempDir } from '../support/temp-dir.js';

killLeftoversAfterAll();
const folder = tempDir();
const home = join(folder, 'home');
const path = (name: string): string => join(folder, name);
const weights = (name: string): Buffer => readFileSync(join(path(name), 'model.safetensors'));
let coordinator: CoordinatorProcess;
const cli = () => ({ home, server: coordinator.address });

beforeAll(async () => {
  mkdirSync(home);
  writeSingle(path('base'), makeBase(1, TINY));
  for (const [index, name] of ['alice', 'bob'].entries()) writeSingle(path(name), fineTune(makeBase(1, TINY), 11 + index));
  coordinator = await CoordinatorProcess.start({ dataDir: path('data'), home });
  await cliOk(['base', 'push', path('base'), '--name', 'tiny'], cli());
  for (const [round, method, contributors] of [
    ['tasks', 'emr', ['alice', 'bob']],
    ['alone', 'emr', ['alice']],
    ['plain', 'fedavg', ['alice']],
  ] as const) {
    await cliOk(['round', 'create', round, '--base', 'tiny', '--method', method, '--min', '1'], cli());
    for (const name of contributors) await cliOk(['push', path(name), '--round', round, '--as', name, '--samples', '1'], cli());
    await cliOk<RoundJson>(['round', 'close', round], cli());
  }
});

afterAll(async () => {
  await coordinator.kill('SIGKILL');
});

test('masks are a file of the model, not tensors of it', async () => {
  const pulled = await cliOk<PullJson>(['pull', 'tasks', '--out', path('merged')], cli());
  expect(readdirSync(path('merged'))).toContain(TASK_MASKS_FILE);
  const [base] = await cliOk<ModelJson[]>(['base', 'list'], cli());
  expect((pulled as PullJson & { model: ModelJson }).model.tensors).toBe(base?.tensors);
});

test('each contributor gets a model of its own, from the coordinator as from the folders', async () => {
  for (const task of ['alice', 'bob']) {
    await cliOk(['pull', 'tasks', '--task', task, '--out', path(`own-${task}`)], cli());
    await cliOk(['rebuild-task', path('merged'), '--base', path('base'), '--task', task, '--out', path(`rebuilt-${task}`)], cli());
    expect(weights(`own-${task}`).equals(weights(`rebuilt-${task}`))).toBe(true);
  }
  expect(weights('own-alice').equals(weights('own-bob'))).toBe(false);
  expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
});

test('who is alone gets back what it pushed', async () => {
  await cliOk(['pull', 'alone', '--task', 'alice', '--out', path('back')], cli());
  const tensors = async (name: string) =>
    [...(await openCheckpoint(path(name))).tensors]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([tensor, { segments }]) => {
        const { offset = 0, length = 0 } = segments[0] ?? {};
        return `${tensor} ${weights(name).toString('hex', offset, offset + length)}`;
      });
  expect(await tensors('back')).toEqual(await tensors('alice'));
});

test('what cannot be had is said', async () => {
  expect(errorOf(await runCli(['pull', 'tasks', '--task', 'carol', '--out', path('carol')], cli())).code).toBe('USAGE');
  expect(errorOf(await runCli(['pull', 'plain', '--task', 'alice', '--out', path('none')], cli())).code).toBe('FILE_NOT_FOUND');
});
