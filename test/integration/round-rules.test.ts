/** Rounds with every kind of rule: what a round publishes is what an offline merge of the same contributions gives, byte for byte. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import { fineTune, makeBase, TINY, writeSharded, writeSingle } from '../support/checkpoints.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { expectError } from '../support/expect-error.js';
import { type Federation, joinFederation } from '../support/federation.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { tempDir } from '../support/temp-dir.js';

killLeftoversAfterAll();
const folder = tempDir();
const path = (name: string): string => join(folder, name);
const TEAMS = ['alice', 'bob', 'carol', 'dave', 'eve'];
const samplesOf = (team: string): number => 100 * (1 + TEAMS.indexOf(team));
const stepsOf = (team: string): number => 40 - 7 * TEAMS.indexOf(team);
let coordinator: CoordinatorProcess;
let federation: Federation;

beforeAll(async () => {
  mkdirSync(path('home'));
  const base = makeBase(1, TINY);
  writeSingle(path('base'), base);
  TEAMS.forEach((team, index) => {
    if (team === 'bob') writeSharded(path(team), fineTune(base, 2 + index), 2);
    else writeSingle(path(team), fineTune(base, 2 + index));
  });
  coordinator = await CoordinatorProcess.start({ dataDir: path('data'), home: path('home') });
  federation = joinFederation(coordinator.address);
  await federation.registerBase('tiny', path('base'));
});

afterAll(async () => {
  federation.disconnect();
  await coordinator.kill('SIGKILL');
});

/** The bytes that `tributary merge` gives for the contributions of a round. */
async function offline(name: string, recipe: string, teams: readonly string[]): Promise<Buffer> {
  const models = teams.map((team) => `  - {model: ${path(team)}, samples: ${samplesOf(team)}, steps: ${stepsOf(team)}}\n`).join('');
  const outDir = path(`offline-${name}`);
  await mergeOffline({
    recipeText: `${recipe}base_model: ${path('base')}\nmodels:\n${models}`,
    recipePath: 'recipe.yml',
    outDir,
    threads: 1,
    version: 'test',
  });
  return readFileSync(join(outDir, 'model.safetensors'));
}

async function published(name: string, recipe: string, teams: readonly string[]): Promise<Buffer> {
  await federation.createRound(name, { base: 'tiny', recipe, quorum: teams.length });
  // The order of pushes is not that of the names, which is that of the arithmetic.
  for (const team of [...teams].reverse())
    await federation.push(name, team, { folder: path(team), samples: samplesOf(team), steps: stepsOf(team) });
  const round = await federation.ended(name);
  expect([round.state, round.error]).toEqual([RoundState.PUBLISHED, undefined]);
  return federation.pull(name, path(`pulled-${name}`));
}

const three = TEAMS.slice(0, 3);

describe('a round publishes what the offline merge of its contributions gives', () => {
  it.each([
    ['fednova', 'merge_method: fednova\n', three],
    ['fedgma', 'merge_method: fedgma\nparameters: {rho: 0.4, lambda: 0.5}\n', three],
    ['median', 'merge_method: median\n', TEAMS.slice(0, 4)],
    ['cclip', 'merge_method: cclip\nparameters: {lambda: 0.4}\n', three],
    ['ties', 'merge_method: ties\nparameters: {weight: 1, density: 0.3}\n', three],
    ['dare-ties', 'merge_method: dare_ties\nseed: 7\nparameters: {weight: 0.5, density: 0.4}\n', three],
    ['krum', 'merge_method: krum\nparameters: {byzantine: 1}\n', TEAMS],
    ['nan', 'merge_method: nan\n', three],
    [
      'written-out',
      'rule:\n  transform: [{clip: {rho: auto}}, {trim: {density: 0.5}}]\n  weighting: {samples: {}}\n' +
        '  combine: {sign_consensus: {normalize: true}}\n  post: [{scale: {lambda: 0.8}}]\n',
      three,
    ],
  ])('%s', async (name, recipe, teams) => {
    const bytes = await published(name, recipe, teams);
    expect(bytes.equals(await offline(name, recipe, teams))).toBe(true);
    expect(bytes.equals(readFileSync(join(path('base'), 'model.safetensors')))).toBe(false);
  });
});

describe('a rule that misses something', () => {
  it('fednova without steps: the round says so, and goes on without the one that kept silent', async () => {
    const recipe = 'merge_method: fednova\n';
    await federation.createRound('silent', { base: 'tiny', recipe });
    for (const team of three)
      await federation.push('silent', team, { folder: path(team), steps: team === 'bob' ? undefined : stepsOf(team) });
    await federation.close('silent');
    const failed = await federation.ended('silent');
    expect(failed.state).toBe(RoundState.FAILED);
    expect(failed.error?.code).toBe('STEPS_MISSING');
    expect(failed.error?.what).toContain('bob');
    expect((await federation.show('silent')).contributions.map(({ contributor }) => contributor)).toEqual(three);
    await federation.withdraw('silent', 'bob');
    await federation.close('silent');
    expect((await federation.ended('silent')).state).toBe(RoundState.PUBLISHED);
    const bytes = await federation.pull('silent', path('pulled-silent'));
    expect(bytes.equals(await offline('silent', recipe, ['alice', 'carol']))).toBe(true);
  });

  it('krum closes by hand only with enough contributions', async () => {
    const round = await federation.createRound('patient', { base: 'tiny', recipe: 'merge_method: krum\nparameters: {byzantine: 1}\n' });
    expect(round.minContributions).toBe(5);
    for (const team of TEAMS.slice(0, 4)) await federation.push('patient', team, { folder: path(team) });
    const refused = await expectError('NO_CONTRIBUTIONS', () => federation.close('patient'));
    expect([refused.details.expected, refused.details.got]).toEqual(['at least 5 accepted contributions', '4']);
    await federation.push('patient', 'eve', { folder: path('eve') });
    await federation.close('patient');
    expect((await federation.ended('patient')).state).toBe(RoundState.PUBLISHED);
  });

  it('slerp with two contributions fails with the reason, and merges when one is withdrawn', async () => {
    await federation.createRound('arc', { base: 'tiny', recipe: 'merge_method: slerp\nparameters: {t: 0.5}\n' });
    for (const team of ['alice', 'bob']) await federation.push('arc', team, { folder: path(team) });
    await federation.close('arc');
    const failed = await federation.ended('arc');
    expect([failed.state, failed.error?.code]).toEqual([RoundState.FAILED, 'RECIPE_INVALID']);
    expect(failed.error?.what).toContain('exactly 1');
    await federation.withdraw('arc', 'bob');
    await federation.close('arc');
    expect((await federation.ended('arc')).state).toBe(RoundState.PUBLISHED);
  });
});

describe('what could never be merged is refused when the round is made', () => {
  it.each([
    ['slices', 'merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 1]}]}]\n', {}, 'slices'],
    ['slerp with a quorum of two', 'merge_method: slerp\nparameters: {t: 0.5}\n', { quorum: 2 }, 'exactly 1'],
    ['nuslerp of three', 'merge_method: nuslerp\n', { quorum: 3 }, 'exactly 2'],
    ['krum with too small a quorum', 'merge_method: krum\nparameters: {byzantine: 1}\n', { quorum: 4 }, 'at least 5'],
    ['krum closing too early', 'merge_method: krum\nparameters: {byzantine: 1}\n', { quorum: 6, minContributions: 3 }, 'at least 5'],
    ['a trim that leaves nothing', 'merge_method: trimmed_mean\nparameters: {trim: 0.5}\n', { quorum: 4 }, 'less than half'],
    [
      'lines to be measured behind a server step',
      'rule: {combine: {median: {}}, post: [{server: {}}, {lines: {}}]}\n',
      {},
      'in front of server',
    ],
    ['nan by tensor before signs are elected', 'merge_method: ties\nweighting: {nan: {per: tensor}}\n', {}, 'per: model'],
  ])('%s', async (_label, recipe, size, words) => {
    const error = await expectError('RECIPE_INVALID', () => federation.createRound('', { base: 'tiny', recipe, ...size }));
    expect(error.message).toContain(words);
  });
});
