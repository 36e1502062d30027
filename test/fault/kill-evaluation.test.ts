/**
 * Agent and coordinator are killed with SIGKILL in the middle of evaluations, again and again, and started again with nothing else done about it.
 * The study has to end with the measurements, the surrogates and the front of an undisturbed one, and no evaluator may ever see a candidate that
 * is half one and half another. TRIBUTARY_TEST_KILLS makes it longer (kills of each), TRIBUTARY_TEST_SEED repeats a run.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { type Front, FrontState } from '../../shared/generated/tributary/v1/pareto.js';
import { randomFrom } from '../support/checkpoints.js';
import { type RunningCli, startCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { eventually } from '../support/eventually.js';
import { joinFederation } from '../support/federation.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { connectStudy } from '../support/study-coordinator.js';
import { tempDir } from '../support/temp-dir.js';
import { safetensorsBytes } from '../support/write-checkpoint.js';

const KILLS = Number(process.env['TRIBUTARY_TEST_KILLS'] ?? 20);
const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? Date.now() % 1_000_000);
const TEAMS = ['alice', 'bob', 'carol'];
/** Enough that a candidate is many tiles, which threads write in any order. */
const COLUMNS = 200_000;
/** Each kill lets one or two evaluations begin; kills of the agent waste them. */
const CANDIDATES = Math.max(14, Math.ceil(KILLS * 1.5));
const EVALUATION_MS = 120;
const PATIENCE_MS = 60_000;

const RECIPE = `merge_method: task_arithmetic
map:
  tasks:
    legal: {metric: score, direction: maximize, bounds: [null, 1]}
    code: {metric: score, direction: maximize, bounds: [null, 1]}
  budget: {candidates: ${CANDIDATES}}
`;

/**
 * The weights of a candidate are its coefficients: every element of row i is coefficient i, or the candidate is torn. The metric is a quadratic of
 * them. Says when it begins, takes its time, and reads the weights before and after it.
 */
const MEASURE = `
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
const [folder, task, wanted, marks] = process.argv.slice(2);
const parent = process.ppid;
const coefficients = JSON.parse(wanted);
const mark = (word) => writeFileSync(join(marks, word + '-' + process.pid + '-' + Date.now()), '');
function check() {
  const bytes = readFileSync(join(folder, 'model.safetensors'));
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset + 8 + Number(bytes.readBigUInt64LE(0)), bytes.byteOffset + bytes.length));
  const columns = values.length / coefficients.length;
  const torn = values.some((value, index) => value !== Math.fround(coefficients[Math.floor(index / columns)]));
  // An agent that was killed leaves its program behind, whose candidate the next agent may rewrite: nobody reads what it says.
  if (torn && process.ppid === parent) mark('torn');
  if (torn) process.exit(1);
}
check();
mark('begun');
await sleep(${EVALUATION_MS});
check();
const best = task === 'legal' ? [0.9, 0.1, 0.4] : [0.1, 0.8, 0.4];
const score = 1 - coefficients.reduce((sum, value, index) => sum + (value - best[index]) ** 2, 0) - 0.3 * coefficients[0] * coefficients[1];
console.log(JSON.stringify({ score, examples: 100 }));
`;

killLeftoversAfterAll();
const folder = tempDir();
const path = (name: string): string => join(folder, name);
const random = randomFrom(SEED);

function writeRows(name: string, row: number): void {
  const values = new Float32Array(TEAMS.length * COLUMNS);
  if (row >= 0) values.fill(1, row * COLUMNS, (row + 1) * COLUMNS);
  mkdirSync(path(name));
  const tensor = { name: 'model.rows', dtype: 'F32' as const, shape: [TEAMS.length, COLUMNS], bytes: new Uint8Array(values.buffer) };
  writeFileSync(join(path(name), 'model.safetensors'), safetensorsBytes([tensor]));
  writeFileSync(join(path(name), 'config.json'), '{}');
}

beforeAll(() => {
  mkdirSync(path('home'));
  writeFileSync(path('measure.mjs'), MEASURE);
  writeFileSync(path('coordinator.yaml'), 'leaseSeconds: 1\n');
  writeRows('base', -1);
  TEAMS.forEach(writeRows);
});

/** What of a front does not depend on when and how often it was made. */
interface Outcome {
  readonly surrogates: Front['surrogates'];
  readonly predicted: Front['predicted'];
  readonly measured: readonly unknown[];
  readonly torn: number;
  readonly begun: number;
}

/** A study on a coordinator of its own. @param disturb runs beside it, and ends when it has killed what it wanted to */
async function playStudy(name: string, disturb: (scene: Scene) => Promise<void>): Promise<Outcome> {
  const marks = path(`${name}-marks`);
  mkdirSync(marks);
  const args = ['--threads', '1', '--config', path('coordinator.yaml')];
  const coordinator = await CoordinatorProcess.start({ dataDir: path(name), home: path('home'), args });
  const command = JSON.stringify([process.execPath, path('measure.mjs'), '{model}', '{task}', '{coefficients}', marks]);
  const tasks = `tasks: {legal: {command: ${command}}, code: {command: ${command}}}`;
  writeFileSync(path(`${name}.yaml`), `agent: agent\nwork: ${path(`${name}-work`)}\n${tasks}\n`);
  const federation = joinFederation(coordinator.address);
  await federation.registerBase('base', path('base'));
  await federation.createRound('spring', { base: 'base', recipe: RECIPE, quorum: TEAMS.length });
  for (const team of TEAMS) await federation.push('spring', team, { folder: path(team) });
  await federation.ended('spring');
  federation.disconnect();
  const scene = new Scene(coordinator, marks, path(`${name}.yaml`));
  try {
    await disturb(scene);
    const front = await scene.front();
    return {
      surrogates: front.surrogates,
      predicted: front.predicted,
      measured: front.measured.map((point) => ({ ...point, measured: point.measured.map((one) => ({ ...one, reportedAt: undefined })) })),
      torn: scene.count('torn'),
      begun: scene.count('begun'),
    };
  } finally {
    await scene.killAgent();
    await coordinator.kill();
  }
}

class Scene {
  readonly coordinator: CoordinatorProcess;
  readonly #marks: string;
  readonly #config: string;
  #agent: RunningCli | undefined;

  constructor(coordinator: CoordinatorProcess, marks: string, config: string) {
    this.coordinator = coordinator;
    this.#marks = marks;
    this.#config = config;
    this.startAgent();
  }

  startAgent(): void {
    const options = { home: path('home'), server: this.coordinator.address, timeoutMs: 600_000 };
    this.#agent = startCli(['--threads', '2', 'agent', '--config', this.#config], options);
    this.#agent.result.catch(() => undefined);
  }

  async killAgent(): Promise<void> {
    this.#agent?.child.kill('SIGKILL');
    const ended = await this.#agent?.result;
    // An agent that ended by itself has an error to tell.
    expect(ended?.code, ended?.stderr).toBeNull();
  }

  count(word: string): number {
    return readdirSync(this.#marks).filter((name) => name.startsWith(word)).length;
  }

  /** Waits until so many more evaluations have begun; false: the study is over before. */
  async begun(more: number): Promise<boolean> {
    const wanted = this.count('begun') + more;
    return eventually(
      'an evaluation',
      async () => (this.count('begun') >= wanted ? true : (await this.#isOver()) ? false : undefined),
      PATIENCE_MS,
    );
  }

  async front(): Promise<Front> {
    return eventually(
      'the front of a whole study',
      async () => {
        if (!(await this.#isOver())) return undefined;
        const front = await this.#ask(({ pareto }) => pareto.getFront({ round: 'spring' }));
        return front.state === FrontState.SERVING && front.evaluations === CANDIDATES * 2 ? front : undefined;
      },
      4 * PATIENCE_MS,
    );
  }

  async #isOver(): Promise<boolean> {
    return (await this.#ask(({ evaluations }) => evaluations.getStudy({ round: 'spring' }))).state !== StudyState.EVALUATING;
  }

  async #ask<T>(question: (clients: ReturnType<typeof connectStudy>) => Promise<T>): Promise<T> {
    const clients = connectStudy(this.coordinator.address);
    try {
      return await question(clients);
    } finally {
      clients.close();
    }
  }
}

describe(`agent and coordinator, each killed ${KILLS} times (TRIBUTARY_TEST_SEED=${SEED})`, () => {
  test('measure what undisturbed ones measure, and serve the same front', { timeout: 120_000 + KILLS * 20_000 }, async () => {
    const undisturbed = await playStudy('undisturbed', async () => {});
    expect(undisturbed.begun).toBe(CANDIDATES * 2);
    expect(undisturbed.measured).toHaveLength(CANDIDATES);
    expect(undisturbed.surrogates.every(({ usable, r2 }) => usable && r2 > 0.999)).toBe(true);
    let kills = 0;
    const killed = await playStudy('killed', async (scene) => {
      for (let kill = 0; kill < 2 * KILLS; kill++) {
        expect(await scene.begun(1 + Math.floor(random() * 2)), `the study was over after ${kill} kills`).toBe(true);
        await sleep(random() * EVALUATION_MS);
        if (kill % 2 === 0) {
          await scene.killAgent();
          scene.startAgent();
        } else await scene.coordinator.killAndRestart();
        kills += 1;
      }
    });
    const { begun, ...outcome } = killed;
    const { begun: without, ...wanted } = undisturbed;
    expect(outcome).toEqual(wanted);
    expect(outcome.torn).toBe(0);
    expect(kills).toBe(2 * KILLS);
    // At least the evaluation under way is lost with an agent.
    expect(begun).toBeGreaterThanOrEqual(without + Math.floor(KILLS / 2));
    process.stdout.write(`killed ${kills} times; ${begun} evaluations for ${without}; seed ${SEED}\n`);
  });
});
