/**
 * The whole loop as people run it: `tributary agent` beside its data, with a program that measures the candidate's folder. The contributions are unit vectors,
 * so a candidate's weights are its coefficients, its metrics are known functions of them, and the front is known too.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrontState } from '../../shared/generated/tributary/v1/pareto.js';
import { RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import { writeSingle } from '../support/checkpoints.js';
import { cliOk } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { type Federation, joinFederation } from '../support/federation.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { connectStudy, type StudyClients } from '../support/study-coordinator.js';
import { tempDir } from '../support/temp-dir.js';

killLeftoversAfterAll();
const folder = tempDir();
const path = (name: string): string => join(folder, name);
const TEAMS = ['alice', 'bob'];
/** More than the two that count, so that the file looks like a model's. */
const WIDTH = 64;
let coordinator: CoordinatorProcess;
let federation: Federation;
let clients: StudyClients;

/** Prints what the two tasks say of the first two weights of the candidate in the folder it is given. */
const PROGRAM = `
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const [folder, task] = process.argv.slice(2);
const bytes = readFileSync(join(folder, 'model.safetensors'));
const start = 8 + Number(bytes.readBigUInt64LE(0));
const [a, b] = [bytes.readFloatLE(start), bytes.readFloatLE(start + 4)];
const score = task === 'alpha' ? 1 - (a - 1) ** 2 - b ** 2 : 1 - a ** 2 - (b - 1) ** 2;
console.log(JSON.stringify({ score, count: 50 }));
`;

const vector = (one?: number) => {
  const values = Float32Array.from({ length: WIDTH }, (_, index) => (index === one ? 1 : 0));
  return [{ name: 'w', dtype: 'F32' as const, shape: [WIDTH], bytes: new Uint8Array(values.buffer) }];
};

beforeAll(async () => {
  mkdirSync(path('home'));
  writeFileSync(path('measure.cjs'), PROGRAM);
  writeSingle(path('base'), vector());
  TEAMS.forEach((team, index) => void writeSingle(path(team), vector(index)));
  coordinator = await CoordinatorProcess.start({ dataDir: path('data'), home: path('home') });
  federation = joinFederation(coordinator.address);
  clients = connectStudy(coordinator.address);
  await federation.registerBase('zero', path('base'));
});

afterAll(async () => {
  federation.disconnect();
  clients.close();
  await coordinator.kill('SIGKILL');
});

describe.each(['local', 'served'])('with %s candidates', (access) => {
  it('two agents measure what is their own, and the front is the exact one', async () => {
    const recipe = `merge_method: task_arithmetic
map:
  tasks:
    alpha: {metric: score, direction: maximize, bounds: [null, 1], evaluator: alice}
    beta: {metric: score, direction: maximize, bounds: [null, 1], evaluator: bob}
  budget: {candidates: 12}
  surrogate: {link: identity}
  candidates: ${access}
`;
    await federation.createRound(access, { base: 'zero', recipe, quorum: TEAMS.length });
    for (const team of TEAMS) await federation.push(access, team, { folder: path(team) });
    expect((await federation.ended(access)).state).toBe(RoundState.PUBLISHED);
    await Promise.all(
      TEAMS.map(async (agent, index) => {
        const file = path(`${access}-${agent}.yaml`);
        const task = ['alpha', 'beta'][index] ?? '';
        const command = JSON.stringify([process.execPath, path('measure.cjs'), '{model}', task]);
        writeFileSync(
          file,
          `agent: ${agent}\nrounds: [${access}]\nwork: ${path(`work-${access}-${agent}`)}\ntasks: {${task}: {command: ${command}}}\n`,
        );
        await cliOk(['--config', file, 'agent', '--once'], { home: path('home'), server: coordinator.address });
      }),
    );
    const front = await clients.pareto.getFront({ round: access });
    expect(front).toMatchObject({ state: FrontState.SERVING, evaluations: 24, warnings: [] });
    for (const { measured, coefficients } of front.measured) {
      const [a = 0, b = 0] = coefficients;
      expect(measured[0]?.value).toBeCloseTo(1 - (a - 1) ** 2 - b ** 2, 5);
      expect(measured.map(({ agent, count }) => [agent, count])).toEqual(TEAMS.map((team) => [team, 50n]));
    }
    for (const { coefficients } of front.predicted) expect((coefficients[0] ?? 0) + (coefficients[1] ?? 0)).toBeCloseTo(1, 3);
  });
});
