/**
 * Compressed pushes against a real coordinator: what a round makes of them beside the offline merge with STAR, what is sent and shown, pushes that are
 * killed or stopped on the way.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Compression } from '../../client/push/compression.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { enginesFolder } from '../../shared/linalg/engines-folder.js';
import { writeAdapter } from '../support/adapters.js';
import { decodeFloats, fineTune, makeBase, writeSingle } from '../support/checkpoints.js';
import { type CliOptions, cliOk, errorOf, type PullJson, type PushJson, type RoundJson, runCli, startCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { type DelayProxy, startDelayProxy } from '../support/delay-proxy.js';
import { eventually } from '../support/eventually.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { tempDir } from '../support/temp-dir.js';

interface CompressedJson extends PushJson {
  readonly compression: Compression & { readonly ratio: number };
}

killLeftoversAfterAll();
const folder = tempDir();
const path = (name: string): string => join(folder, name);
const scratch = path('scratch');
const MEBI = 1024 * 1024;

const SPECS = [
  { name: 'embed.weight', dtype: 'F32', shape: [1500, 1024] },
  { name: 'layers.0.mlp.weight', dtype: 'BF16', shape: [640, 512] },
  { name: 'layers.0.norm.weight', dtype: 'F32', shape: [512] },
  { name: 'layers.1.mlp.weight', dtype: 'F32', shape: [512, 640] },
  { name: 'layers.1.conv.weight', dtype: 'F32', shape: [32, 8, 3, 3] },
  { name: 'layers.2.same.weight', dtype: 'F32', shape: [64, 64] },
] as const;

const base = makeBase(1, SPECS);
let coordinator: CoordinatorProcess;
let line: DelayProxy;
let onUpload: (totalBytes: number) => void = () => {};

/** Teams work on one machine here: each has a home and a folder for scratch files. */
function options(server = coordinator.address): CliOptions {
  return { home: path('home'), server, env: { TMPDIR: scratch, TRIBUTARY_ENGINES: enginesFolder(process.env) } };
}

const push = (team: string, round: string, ...flags: string[]): Promise<CompressedJson> =>
  cliOk<CompressedJson>(['push', path(team), '--round', round, '--as', team, ...flags], options());

const compressed = (eta: number): string[] => ['--base', path('pulled-base'), '--compress', `star:${eta}`];

async function openRound(name: string, recipe: string): Promise<void> {
  const file = path(`${name}.yml`);
  writeFileSync(file, recipe);
  await cliOk<RoundJson>(['round', 'create', name, '--base', 'base', '--recipe', file], options());
}

beforeAll(async () => {
  for (const dir of ['home', 'scratch']) mkdirSync(path(dir));
  writeSingle(path('base'), base);
  for (const [index, team] of ['alice', 'bob', 'carol', 'dave'].entries()) {
    const tuned = fineTune(base, 10 + index);
    writeSingle(
      path(team),
      tuned.map((tensor) => base.find(({ name }) => name === tensor.name && name.includes('same')) ?? tensor),
    );
  }
  const factors = ['layers.0.mlp', 'layers.1.mlp'].map((module) => ({ module, rank: 4, scale: 2 }));
  const shapes = Object.fromEntries(base.map((tensor) => [tensor.name, tensor]));
  writeAdapter(path('erin'), shapes, { config: { r: 4, lora_alpha: 8 }, factors, seed: 3, kind: 'wide' });
  coordinator = await CoordinatorProcess.start({ dataDir: path('data'), home: path('home') });
  line = await startDelayProxy({ targetPort: coordinator.grpcPort, onUpload: (bytes) => onUpload(bytes) });
  await cliOk(['base', 'push', path('base'), '--name', 'base'], options());
  await cliOk<PullJson>(['pull', 'base', '--out', path('pulled-base')], options());
});

afterAll(async () => {
  await line.close();
  await coordinator.kill('SIGKILL');
});

/** All tensors of a model as numbers. */
async function numbersOf(model: string): Promise<Map<string, Float32Array>> {
  const { tensors } = await openCheckpoint(model);
  return new Map(
    [...tensors.values()].map(({ name, dtype, shape, segments }) => {
      const bytes = Buffer.concat(segments.map((one) => readFileSync(one.path).subarray(one.offset, one.offset + one.length)));
      return [name, decodeFloats({ name, dtype, shape, bytes })];
    }),
  );
}

/** Distance of two models in each tensor, relative to the distance of the second from the base. */
async function distances(actual: string, expected: string): Promise<Record<string, number>> {
  const [a, b, before] = [await numbersOf(actual), await numbersOf(expected), await numbersOf(path('base'))];
  const found: Record<string, number> = {};
  for (const [name, values] of b) {
    const [own, old] = [a.get(name) ?? new Float32Array(), before.get(name) ?? new Float32Array()];
    let [apart, moved] = [0, 0];
    for (let index = 0; index < values.length; index++) {
      apart += ((own[index] ?? Number.NaN) - (values[index] ?? 0)) ** 2;
      moved += ((values[index] ?? 0) - (old[index] ?? 0)) ** 2;
    }
    found[name] = moved === 0 ? apart : Math.sqrt(apart / moved);
  }
  return found;
}

const OUTPUT = 'out_dtype: float32\n';

describe('a round with compressed pushes', () => {
  it('merges what the offline merge makes of the same contributions with STAR', async () => {
    await openRound('mixed', `rule: {combine: mean, post: [{scale: {lambda: 0.5}}]}\n${OUTPUT}`);
    await push('alice', 'mixed', '--samples', '10');
    const bob = await push('bob', 'mixed', '--samples', '20', '--steps', '5', ...compressed(30));
    await push('carol', 'mixed', '--samples', '30', ...compressed(65));
    await push('erin', 'mixed', '--samples', '40');
    await cliOk(['round', 'close', 'mixed'], options());
    await cliOk<PullJson>(['pull', 'mixed', '--out', path('merged-mixed')], options());

    const model = (team: string, eta: number): string => `  - {model: ${path(team)}, parameters: {eta: ${eta}}}\n`;
    writeFileSync(
      path('offline.yml'),
      `merge_method: star\nbase_model: ${path('base')}\nparameters: {lambda: 0.5}\n${OUTPUT}models:\n${model('alice', 100)}${model('bob', 30)}${model('carol', 65)}${model('erin', 100)}`,
    );
    await cliOk(['merge', path('offline.yml'), '--out', path('offline')], options());
    const apart = await distances(path('merged-mixed'), path('offline'));
    expect(Object.keys(apart).sort()).toEqual(SPECS.map(({ name }) => name).sort());
    for (const { name, shape } of SPECS) expect(apart[name], name).toBeLessThanOrEqual(shape.length > 1 ? 1e-3 : 1e-6);
    expect(apart['embed.weight']).toBeLessThan(1e-6);
    expect(apart['layers.2.same.weight']).toBe(0);

    const { contribution, compression, sentBytes } = bob;
    expect(contribution).toMatchObject({ kind: 'low_rank', status: 'accepted', samples: 20, steps: 5 });
    expect(compression.matrices).toEqual({ factors: 3, rounded: 0, whole: 0, unchanged: 0 });
    expect(sentBytes).toBe(compression.newBytes);
    expect(compression.ratio).toBeCloseTo(compression.fullBytes / compression.newBytes, 12);
    const alice = SPECS.filter(({ name }) => !name.includes('same')).map(
      ({ dtype, shape }) => (dtype === 'BF16' ? 2 : 4) * shape.reduce<number>((a, b) => a * b, 1),
    );
    expect(compression.fullBytes).toBe(alice.reduce((a, b) => a + b, 0));
  });

  it('is shown with what it holds in place of whole weights', async () => {
    const round = await cliOk<RoundJson & { base: { totalBytes: number } }>(['round', 'show', 'mixed'], options());
    const [, bob] = round.contributions;
    expect(round.contributions.map(({ kind }) => kind)).toEqual(['full', 'low_rank', 'low_rank', 'lora']);
    expect(round.base.totalBytes).toBeGreaterThan(2 * (bob?.totalBytes ?? 0) - 7 * MEBI);
    const { stdout } = await runCli(['round', 'show', 'mixed'], { ...options(), format: 'table' });
    expect(stdout).toMatch(/^as factors: bob, carol, erin, [\d.]+ MB where whole weights are [\d.]+ MB \([\d.]+ times smaller\)$/m);
  });

  it('takes the fine-tuned weights themselves at star:100', async () => {
    for (const name of ['whole', 'same']) await openRound(name, `merge_method: linear\nparameters: {weight: 1}\n`);
    await push('alice', 'whole');
    const again = await push('alice', 'same', ...compressed(100));
    expect(again).toMatchObject({ sentBytes: 0, compression: { engine: null, error: 0 } });
    const files: Buffer[] = [];
    for (const name of ['whole', 'same']) {
      await cliOk(['round', 'close', name], options());
      await cliOk<PullJson>(['pull', name, '--out', path(`merged-${name}`)], options());
      files.push(readFileSync(path(`merged-${name}/model.safetensors`)));
    }
    expect(files[0]?.equals(files[1] ?? Buffer.alloc(0))).toBe(true);
  });

  it('refuses factors of a difference to another base', async () => {
    const other = writeSingle(path('other-base'), fineTune(base, 99));
    await openRound('other', 'merge_method: linear\n');
    const result = await runCli(
      ['push', path('bob'), '--round', 'other', '--as', 'bob', '--base', other, '--compress', 'star:40'],
      options(),
    );
    expect(errorOf(result).code).toBe('BASE_MISMATCH');
    expect(readdirSync(scratch)).toEqual([]);
  });
});

describe('a compressed push that does not come to its end', () => {
  it('sends only what is missing when it was killed', async () => {
    await openRound('killed', 'merge_method: linear\n');
    const command = ['push', path('dave'), '--round', 'killed', '--as', 'dave', ...compressed(80)];
    const victim = startCli(command, options(line.address));
    onUpload = (bytes) => {
      if (bytes > 6.5e6) victim.child.kill('SIGKILL');
    };
    expect((await victim.result).code).toBeNull();
    onUpload = () => {};
    const second = await cliOk<CompressedJson>(command, options());
    expect(second.savedBytes).toBeGreaterThan(0);
    expect(second.sentBytes + second.savedBytes).toBe(second.totalBytes);
    const third = await cliOk<CompressedJson>(command, options());
    expect(third).toMatchObject({ sentBytes: 0, compression: second.compression });
    expect(third.contribution.weightsDigest).toBe(second.contribution.weightsDigest);
    // A killed process cannot clean up after itself; those that ended have.
    const left = readdirSync(scratch);
    expect(left.length).toBe(1);
    rmSync(join(scratch, left[0] ?? ''), { recursive: true });
  });

  it('leaves nothing behind when it is interrupted', async () => {
    await openRound('stopped', 'merge_method: linear\n');
    const running = startCli(['push', path('bob'), '--round', 'stopped', '--as', 'bob', ...compressed(35)], options());
    await eventually('scratch files', () =>
      readdirSync(scratch).some((dir) => readdirSync(join(scratch, dir)).length > 0) ? true : undefined,
    );
    running.child.kill('SIGINT');
    const result = await running.result;
    expect(result.code).toBe(130);
    expect(readdirSync(scratch)).toEqual([]);
    const round = await cliOk<RoundJson>(['round', 'show', 'stopped'], options());
    expect(round.contributions.filter(({ status }) => status === 'accepted')).toEqual([]);
  });
});
