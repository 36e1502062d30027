/**
 * Rounds with a server optimiser on one another, on a coordinator that is killed with SIGKILL again and again while it merges. Models and the
 * moments they leave have to be those of an undisturbed coordinator, byte for byte. TRIBUTARY_TEST_SEED repeats a run.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { SERVER_STATE_FILE } from '../../shared/merge/server-state.js';
import { fineTune, makeBase, randomFrom, writeSingle } from '../support/checkpoints.js';
import { cliOk, type RoundJson } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { joinFederation } from '../support/federation.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { tempDir } from '../support/temp-dir.js';

const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? Date.now() % 1_000_000);
const KILLS_PER_ROUND = 4;
/** Longest time between a start and the next kill: about what the three merges of a round take here. */
const KILL_WITHIN_MS = 700;

killLeftoversAfterAll();
const folder = tempDir();
const path = (name: string): string => join(folder, name);
const random = randomFrom(SEED);

/** Each on what the one before published. */
const ROUNDS = [
  { name: 'first', recipe: 'merge_method: fedadam\n', words: 'adam, round 1: its moments began at zero, since base has no server state' },
  { name: 'second', recipe: 'merge_method: fedadam\n', words: 'adam, round 2: its moments go on from those of first' },
  {
    name: 'third',
    recipe: 'merge_method: fedavgm\n',
    words: 'momentum, round 1: its moments began at zero, since the server state of second is of adam',
  },
];

beforeAll(() => {
  mkdirSync(path('home'));
  const base = makeBase(1);
  writeSingle(path('base'), base);
  for (const seed of [2, 3]) writeSingle(path(`tuned-${seed}`), fineTune(base, seed));
});

interface Published {
  readonly model: Buffer;
  readonly state: Buffer;
  readonly card: string;
}

async function play(run: string, killsPerRound: number): Promise<{ published: Published[]; kills: number }> {
  const dataDir = path(`${run}-data`);
  const coordinator = await CoordinatorProcess.start({ dataDir, home: path('home'), args: ['--threads', '1'] });
  const cli = { home: path('home'), server: coordinator.address };
  const isPublished = (name: string): boolean =>
    coordinator.log.some((line) => line.msg === 'model published' && line['round'] === name) || existsSync(join(dataDir, 'models', name));
  const published: Published[] = [];
  let kills = 0;
  let base = 'base';
  try {
    for (const { name, recipe } of ROUNDS) {
      // Connections do not outlive the coordinator they were made to.
      const federation = joinFederation(coordinator.address);
      if (base === 'base') await federation.registerBase('base', path('base'));
      await federation.createRound(name, { base, recipe, quorum: 2 });
      await federation.push(name, 'a', { folder: path('tuned-2'), samples: 10 });
      await federation.push(name, 'b', { folder: path('tuned-3'), samples: 30 });
      federation.disconnect();
      for (let left = killsPerRound; left > 0; left--) {
        await sleep(random() * KILL_WITHIN_MS);
        if (isPublished(name)) break;
        await coordinator.killAndRestart();
        kills += 1;
      }
      const round = await cliOk<RoundJson>(['--patience', '60', 'round', 'watch', name], cli);
      expect([round.state, round.error]).toEqual(['published', null]);
      const pulled = path(`${run}-${name}`);
      await cliOk(['pull', name, '--out', pulled], cli);
      expect(readdirSync(pulled).sort()).toEqual(['README.md', 'config.json', 'model.safetensors', 'tributary.json']);
      expect(existsSync(join(dataDir, 'merging', name))).toBe(false);
      published.push({
        model: readFileSync(join(pulled, 'model.safetensors')),
        state: readFileSync(join(dataDir, 'models', name, SERVER_STATE_FILE)),
        card: readFileSync(join(pulled, 'README.md'), 'utf8'),
      });
      base = name;
    }
  } finally {
    await coordinator.kill('SIGKILL');
  }
  return { published, kills };
}

describe(`server optimisers on a coordinator that is killed (TRIBUTARY_TEST_SEED=${SEED})`, () => {
  it('models and moments are those of an undisturbed one', { timeout: 240_000 }, async () => {
    const undisturbed = await play('undisturbed', 0);
    ROUNDS.forEach(({ words }, index) => {
      expect(undisturbed.published[index]?.card).toContain(`| Server optimiser | ${words} |`);
    });
    const killed = await play('killed', KILLS_PER_ROUND);
    expect(killed.kills).toBeGreaterThan(0);
    killed.published.forEach(({ model, state, card }, index) => {
      const expected = undisturbed.published[index];
      expect(expected?.model.equals(model)).toBe(true);
      expect(expected?.state.equals(state)).toBe(true);
      expect(card).toBe(expected?.card);
    });
    process.stdout.write(`killed ${killed.kills} times; seed ${SEED}\n`);
  });
});
