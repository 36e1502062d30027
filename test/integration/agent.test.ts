/**
 * `tributary agent` against a real coordinator: contributions of every kind, candidates merged by the agent beside candidates that the
 * coordinator merged. The metrics are digests of the weight files, so that equal metrics are equal bytes.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Candidate, CandidateKind, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { writeAdapter } from '../support/adapters.js';
import { fineTune, makeBase, makeDelta, TINY, writeSharded, writeSingle } from '../support/checkpoints.js';
import { type CliOptions, cliOk, errorOf, runCli, startCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { eventually } from '../support/eventually.js';
import { type Federation, joinFederation } from '../support/federation.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { connectStudy, type StudyClients } from '../support/study-coordinator.js';
import { tempDir } from '../support/temp-dir.js';

interface AgentJson {
  readonly agent: string;
  readonly measured: number;
  readonly failed: number;
  readonly rounds: readonly { readonly round: string; readonly measured: number; readonly failed: number }[];
}

/** Reads the weight file of the folder it is given; the metric is what its SHA-256 begins with, as a number in [0, 1). */
const MEASURE = `
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
const [folder] = process.argv.slice(2);
for (const name of ['config.json', 'tokenizer.json']) if (!existsSync(join(folder, name))) throw new Error('no ' + name);
const digest = createHash('sha256').update(readFileSync(join(folder, 'model.safetensors'))).digest();
console.log(JSON.stringify({ digest: digest.readUIntBE(0, 6) / 2 ** 48, examples: 12 }));
`;

killLeftoversAfterAll();
const folder = tempDir();
const path = (name: string): string => join(folder, name);
const base = makeBase(1, TINY);
let coordinator: CoordinatorProcess;
let federation: Federation;
let clients: StudyClients;

const cli = (): CliOptions => ({ home: path('home'), server: coordinator.address });

/** Contributions of every kind; erin's is sharded. */
async function publish(round: string, recipe: string, access: 'local' | 'served', map = ''): Promise<void> {
  const text = `${recipe}\nmap: {tasks: {digest: {metric: digest, direction: maximize, bounds: [0, 1]}}, budget: {candidates: 9}, candidates: ${access}${map}}\n`;
  writeFileSync(path(`${round}.yml`), text);
  await cliOk(['round', 'create', round, '--base', 'tiny', '--recipe', path(`${round}.yml`)], cli());
  await federation.push(round, 'alice', { folder: path('alice'), samples: 10, steps: 5 });
  await federation.push(round, 'bob', { folder: path('bob'), kind: 'delta', samples: 20, steps: 6 });
  await federation.push(round, 'carol', { folder: path('carol'), samples: 30, steps: 7 });
  await cliOk(['push', path('dave'), '--round', round, '--as', 'dave', '--base', path('pulled'), '--compress', 'star:60'], cli());
  await federation.push(round, 'erin', { folder: path('erin'), samples: 50, steps: 9 });
  await federation.close(round);
  const ended = await federation.ended(round);
  expect(ended.error).toBeUndefined();
}

function writeConfig(name: string, lines: string): string {
  const file = path(`${name}.yaml`);
  const command = JSON.stringify([process.execPath, path('measure.mjs'), '{model}']);
  writeFileSync(file, `work: ${path(`work-${name}`)}\ntasks: {digest: {command: ${command}}}\n${lines}\n`);
  return file;
}

async function runAgent(name: string, lines: string): Promise<AgentJson> {
  const { code, json, stderr } = await runCli(['agent', '--once', '--config', writeConfig(name, lines)], cli());
  const report = json as AgentJson;
  expect([code, report.failed], stderr).toEqual([0, 0]);
  return report;
}

async function candidatesOf(round: string): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  for await (const candidate of clients.evaluations.listCandidates({ round })) candidates.push(candidate);
  return candidates;
}

const seen = (candidates: readonly Candidate[]): [readonly number[], number | undefined][] =>
  candidates.map(({ coefficients, measurements }) => [coefficients, measurements[0]?.value]);

beforeAll(async () => {
  mkdirSync(path('home'));
  writeFileSync(path('measure.mjs'), MEASURE);
  writeSingle(path('base'), base);
  for (const [name, text] of Object.entries({ 'config.json': '{"num_hidden_layers": 2}', 'tokenizer.json': '{}' }))
    writeFileSync(join(path('base'), name), text);
  writeSingle(path('alice'), fineTune(base, 2));
  writeSingle(path('bob'), makeDelta(base, 3));
  const shapes = Object.fromEntries(
    TINY.filter(({ shape }) => shape.length === 2).map(({ name, shape }) => [name, { dtype: 'F32' as const, shape }]),
  );
  const factors = [{ module: 'a', rank: 3, scale: 2 }];
  writeAdapter(path('carol'), shapes, { config: { r: 3, lora_alpha: 6 }, factors, seed: 4, kind: 'wide' });
  writeSingle(path('dave'), fineTune(base, 5));
  writeSharded(path('erin'), fineTune(base, 6), 2);
  coordinator = await CoordinatorProcess.start({ dataDir: path('data'), home: path('home'), args: ['--threads', '1'] });
  federation = joinFederation(coordinator.address);
  clients = connectStudy(coordinator.address);
  await federation.registerBase('tiny', path('base'));
  await cliOk(['pull', 'tiny', '--out', path('pulled')], cli());
});

afterAll(async () => {
  federation.disconnect();
  clients.close();
  await coordinator.kill('SIGTERM');
});

describe('an agent and a coordinator', () => {
  it.each([
    ['sum', 'merge_method: task_arithmetic'],
    ['ties', 'merge_method: ties\nparameters: {density: 0.4}'],
    ['dare', 'merge_method: dare_ties\nparameters: {density: 0.5}\nseed: 3'],
    ['mergekit', 'merge_method: task_arithmetic\nnumerics: mergekit\ndtype: float32'],
  ])(
    '%s: candidates merged by the agent are, byte for byte, those that the coordinator serves',
    async (name, recipe) => {
      await publish(`${name}-local`, recipe, 'local');
      await publish(`${name}-served`, recipe, 'served');
      const report = await runAgent(name, `agent: ${name}\nparallel: 2\nrounds: [${name}-local, ${name}-served]`);
      expect(report).toMatchObject({ agent: name, measured: 18, failed: 0 });
      const [local, served] = [await candidatesOf(`${name}-local`), await candidatesOf(`${name}-served`)];
      expect(local).toHaveLength(9);
      // The base, the average and samples are in both; a contribution alone is never served.
      const servedAt = new Map(seen(served).map(([at, value]) => [JSON.stringify(at), value]));
      const inBoth = seen(local).filter(([at]) => servedAt.has(JSON.stringify(at)));
      expect(inBoth.length).toBeGreaterThanOrEqual(4);
      for (const [at, value] of inBoth) expect(servedAt.get(JSON.stringify(at))).toEqual(value);
      expect([local, served].map((all) => all.filter(({ kind }) => kind === CandidateKind.SINGLE).length)).toEqual([5, 0]);
      expect(new Set(seen(local).map(([, value]) => value)).size).toBe(9);
      expect(local[0]?.measurements[0]).toMatchObject({ agent: name, task: 'digest' });
      const study = await clients.evaluations.getStudy({ round: `${name}-local` });
      expect([study.state, study.warnings.filter((text) => text.includes('fail'))]).toEqual([StudyState.COMPLETE, []]);
      expect(readdirSync(path(`work-${name}`)).sort()).toEqual(['logs', 'models']);
      // Base and five contributions; of the served round nothing is kept.
      expect(readdirSync(join(path(`work-${name}`), 'models'))).toHaveLength(6);
      const log = readFileSync(join(path(`work-${name}`), 'logs', `${name}-local`, '3-digest.log'), 'utf8');
      expect(log).toContain('"examples":12');
    },
    120_000,
  );

  it('says which studies there are, what is fetched, and each measurement; SIGTERM ends it well', async () => {
    await publish('shown', 'merge_method: task_arithmetic', 'local');
    const { child, result } = startCli(['agent', '--config', writeConfig('shown', 'rounds: [shown]')], { ...cli(), format: 'table' });
    await eventually('the end of the study', async () => {
      const { state } = await clients.evaluations.getStudy({ round: 'shown' });
      return state === StudyState.COMPLETE ? true : undefined;
    });
    child.kill('SIGTERM');
    const { code, stderr, stdout } = await result;
    expect(code).toBe(0);
    expect(stderr).toMatch(/^agent \S+: measures digest; works in .*work-shown$/m);
    expect(stderr).toMatch(/^round shown: digest \(map, \d of 9 candidates\)$/m);
    expect(stderr).toMatch(/^fetching rounds\/shown\/carol, [\d.]+ k?B$/m);
    expect(stderr.match(/^shown {2}candidate \d {2}digest {2}digest 0\.\d+ {2}[\d.]+ s$/gm)).toHaveLength(9);
    expect(stdout).toContain('shown: 9 measured');
  }, 60_000);

  it('a round that is still open is waited for, by name', async () => {
    const { result } = startCli(['agent', '--once', '--config', writeConfig('early', 'rounds: [early]')], cli());
    const tooEarly = await result;
    expect(errorOf(tooEarly).code).toBe('ROUND_NOT_FOUND');
    writeFileSync(
      path('early.yml'),
      'merge_method: task_arithmetic\nmap: {tasks: {digest: {metric: digest, direction: maximize, bounds: [0, 1]}}, budget: {candidates: 5}}\n',
    );
    await cliOk(['round', 'create', 'early', '--base', 'tiny', '--recipe', path('early.yml')], cli());
    const waiting = startCli(['agent', '--once', '--config', path('early.yaml')], cli());
    await federation.push('early', 'alice', { folder: path('alice') });
    await federation.push('early', 'erin', { folder: path('erin') });
    await federation.close('early');
    const { code, json } = await waiting.result;
    expect(code).toBe(0);
    expect(json).toMatchObject({ measured: 5, failed: 0, rounds: [{ round: 'early', measured: 5, failed: 0 }] });
  }, 60_000);

  it('mistakes are told before anything is leased', async () => {
    expect(errorOf(await runCli(['agent'], cli())).code).toBe('USAGE');
    const forEver = await runCli(['agent', '--give-up-after', '5', '--config', writeConfig('for-ever', '')], cli());
    expect(errorOf(forEver)).toMatchObject({ code: 'USAGE', details: { where: '--give-up-after' } });
    const unknown = await runCli(['agent', '--config', writeConfig('unknown', 'nothing: 1')], cli());
    expect(errorOf(unknown)).toMatchObject({ code: 'CONFIG_INVALID', details: { what: 'Unknown key nothing' } });
    const away = await runCli(['--patience', '0', 'agent', '--config', writeConfig('away', '')], { ...cli(), server: '127.0.0.1:1' });
    expect(errorOf(away).code).toBe('COORDINATOR_UNAVAILABLE');
    const none = await runAgent('none', 'rounds: [sum-local]');
    expect(none).toMatchObject({ measured: 0, failed: 0, rounds: [] });
  }, 60_000);
});
