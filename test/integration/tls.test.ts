/** A whole round over TLS with client certificates and tokens, and who is kept out. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fineTune, makeBase, TINY, writeSingle } from '../support/checkpoints.js';
import { type CliOptions, cliOk, errorOf, type PushJson, type RoundJson, runCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { tempDir } from '../support/temp-dir.js';

killLeftoversAfterAll();
const folder = tempDir();
const home = join(folder, 'home');
const cert = (name: string): string => resolve('test/support/certs', name);
const [alice, operator] = ['alice-secret', 'operator-secret'];
let coordinator: CoordinatorProcess;
let cli: CliOptions;

/** The same client with another token and its own files. */
function as(token: string, certificates = true): CliOptions {
  const pair = certificates ? `, cert: ${cert('client.pem')}, key: ${cert('client.key')}` : '';
  const config = join(folder, `client-${token}-${certificates}.yaml`);
  writeFileSync(config, `tls: {ca: ${cert('ca.pem')}${pair}}\ntoken: ${token}\npatienceSeconds: 0\n`);
  return { ...cli, env: { TRIBUTARY_CONFIG: config } };
}

beforeAll(async () => {
  mkdirSync(home);
  const base = makeBase(1, TINY);
  writeSingle(join(folder, 'base'), base);
  writeSingle(join(folder, 'tuned'), fineTune(base, 2));
  const config = join(folder, 'coordinator.yaml');
  const tls = `tls: {cert: ${cert('server.pem')}, key: ${cert('server.key')}, clientCa: ${cert('ca.pem')}}`;
  writeFileSync(config, `${tls}\ntokens: {alice: ${alice}, operator: ${operator}}\n`);
  coordinator = await CoordinatorProcess.start({ dataDir: join(folder, 'data'), home, args: ['--config', config] });
  cli = { home, server: coordinator.address };
});

afterAll(async () => {
  await coordinator.kill('SIGKILL');
});

test('the operator opens and closes a round, a contributor pushes under the name of its token', async () => {
  await cliOk(['base', 'push', join(folder, 'base'), '--name', 'base'], as(operator));
  await cliOk(['round', 'create', 'r', '--base', 'base', '--method', 'linear'], as(operator));
  const pushed = await cliOk<PushJson>(['push', join(folder, 'tuned'), '--round', 'r'], as(alice));
  expect(pushed.contribution.contributor).toBe('alice');
  expect(errorOf(await runCli(['round', 'close', 'r'], as(alice))).code).toBe('PERMISSION_DENIED');
  const round = await cliOk<RoundJson>(['round', 'close', 'r'], as(operator));
  expect(round.state).toBe('published');
  await cliOk(['pull', 'r', '--out', join(folder, 'out')], as(alice));
});

test('a wrong token, no certificate and plain HTTP/2 are kept out', async () => {
  expect(errorOf(await runCli(['round', 'list'], as('someone-else'))).code).toBe('UNAUTHENTICATED');
  expect(errorOf(await runCli(['round', 'list'], as(operator, false))).code).toBe('COORDINATOR_UNAVAILABLE');
  expect(errorOf(await runCli(['round', 'list'], cli)).code).toBe('COORDINATOR_UNAVAILABLE');
});
