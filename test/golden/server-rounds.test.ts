/** Server optimisers over three rounds, against the formulas step by step (test/support/reference/server-optimizers.ts). */
import { describe, expect, it } from 'vitest';
import { randomFrom } from '../support/checkpoints.js';
import { expectError } from '../support/expect-error.js';
import { fedAdaptive, fedavgm } from '../support/reference/server-optimizers.js';
import { combination, type Vector, zeros } from '../support/reference/vectors.js';
import { type Numbers, playServerRound, playWithoutServer, type ServerOutcome } from '../support/server-rounds.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const SAMPLES = [100, 300, 50];
const COUNTS = { 'layers.0.weight': 70_001, 'layers.1.bias': 9 };

/** What a step adds, and the state behind it, in fp64; `state` is empty at first. */
type Step = (delta: Vector, state: Record<string, Vector>) => { update: Vector; state: Record<string, Vector> };

const adaptive =
  (kind: 'fedadam' | 'fedyogi', serverLr: number): Step =>
  (delta, { m = zeros(delta.length), v = zeros(delta.length) }) => {
    const next = fedAdaptive(kind, delta, { m, v }, { serverLr, beta1: 0.9, beta2: 0.99, tau: 1e-3 });
    return { update: next.update, state: { ...next.state } };
  };

const CASES: readonly (readonly [name: string, recipe: string, step: Step])[] = [
  [
    'fedavgm',
    'merge_method: fedavgm\nparameters: {server_lr: 0.7, momentum: 0.8}\n',
    (delta, { m = zeros(delta.length) }) => {
      const next = fedavgm(delta, m, 0.7, 0.8);
      return { update: next.update, state: { m: next.m } };
    },
  ],
  ['fedadam', 'merge_method: fedadam\n', adaptive('fedadam', 0.1)],
  ['fedyogi', 'merge_method: fedyogi\nparameters: {server_lr: 0.2}\n', adaptive('fedyogi', 0.2)],
];

const numbers = (value: (name: string, index: number) => number): Numbers =>
  Object.fromEntries(
    Object.entries(COUNTS).map(([name, count]) => [name, Array.from({ length: count }, (_, index) => value(name, index))]),
  );

describe.each(CASES)('%s over three rounds', (_name, recipe, step) => {
  it.each([
    ['F32', 1e-6],
    ['BF16', 2 ** -8],
  ] as const)('in %s', async (dtype, tolerance) => {
    const random = randomFrom(7);
    let base = numbers(() => Math.fround(Math.round((random() - 0.5) * 256) / 256));
    const states: Record<string, Record<string, Vector>> = {};
    let last: ServerOutcome | undefined;
    for (let round = 1; round <= 3; round++) {
      const from = base;
      // Steps of 1/64 survive BF16; every fifth element is left as it is by everyone.
      const contributions = SAMPLES.map((samples) => ({
        samples,
        values: numbers((name, index) => (from[name]?.[index] ?? 0) + (index % 5 === 0 ? 0 : Math.round((random() - 0.4) * 8) / 64)),
      }));
      last = await playServerRound(root, { recipe, dtype, base, contributions, old: last?.state });
      expect(last.state.rounds).toBe(round);
      for (const [name, old] of Object.entries(from)) {
        const stored = contributions.map(({ values }) => Float64Array.from(values[name] ?? [], (value) => roundTo(dtype, value)));
        const total = SAMPLES.reduce((sum, one) => sum + one, 0);
        const taus = stored.map((values) => values.map((value, index) => value - (old[index] ?? 0)));
        const delta = combination(
          taus,
          SAMPLES.map((one) => one / total),
        );
        // Delta and moments are kept in F32; Yogi's sign would turn where they tie.
        const { update, state } = step(delta.map(Math.fround), states[name] ?? {});
        states[name] = Object.fromEntries(Object.entries(state).map(([moment, values]) => [moment, values.map(Math.fround)]));
        const worst = (found: readonly number[] | undefined, expected: Vector, allowed: number, floor: number): number =>
          expected.reduce(
            (most, value, index) => Math.max(most, Math.abs((found?.[index] ?? Number.NaN) - value) / (floor + Math.abs(value)) / allowed),
            0,
          );
        for (const [moment, expected] of Object.entries(state))
          expect(worst(last.moments[`${moment}.${name}`], expected, 1e-6, 1e-3)).toBeLessThan(1);
        const model = update.map((value, index) => (old[index] ?? 0) + value);
        expect(worst(last.model[name], model, tolerance, 0.05)).toBeLessThan(1);
        for (let index = 0; index < old.length; index += 5) expect(last.model[name]?.[index]).toBe(old[index]);
      }
      base = last.model;
    }
  });
});

function roundTo(dtype: 'F32' | 'BF16', value: number): number {
  if (dtype === 'F32') return Math.fround(value);
  const words = new Uint32Array(Float32Array.of(value).buffer);
  words[0] = ((words[0] ?? 0) + 0x7fff + (((words[0] ?? 0) >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(words.buffer)[0] ?? 0;
}

describe('the first round of momentum with server_lr 1 is the rule itself', () => {
  const count = 70_000;
  const random = randomFrom(11);
  const of = (value: () => number): Numbers => ({
    'layers.0.weight': Array.from({ length: count }, () => Math.fround(value())),
    'layers.1.weight': Array.from({ length: 300 }, () => Math.fround(value())),
    norm: Array.from({ length: 16 }, () => Math.fround(value())),
  });
  const base = of(() => random() - 0.5);
  const tuned = (): Numbers =>
    Object.fromEntries(
      Object.entries(base).map(([name, values]) => [name, values.map((value) => Math.fround(value + (random() - 0.45) * 0.2))]),
    );
  const contributions = [
    { values: tuned(), samples: 10 },
    { values: of(() => (random() - 0.4) * 0.2), samples: 30, kind: 'delta' as const },
    { values: tuned(), samples: 20 },
    { values: tuned(), samples: 5 },
    { values: tuned(), samples: 15 },
  ];
  const deltas = contributions.map(({ samples }) => ({ values: of(() => (random() - 0.4) * 0.2), samples, kind: 'delta' as const }));

  it.each([
    ['samples', 'weighting: {samples: {}}, combine: {sum: {}}', ''],
    ['steps and lambda', 'weighting: {steps: {}}, combine: {sum: {}}', '{scale: {lambda: 0.6}}, '],
    ['one coefficient of zero', 'combine: {sum: {}}', '{scale: {lambda: 0}}, '],
    ['nan', 'weighting: {nan: {}}, combine: {sum: {}}', ''],
    ['nan by tensor', 'weighting: {nan: {per: tensor}}, combine: {sum: {}}', ''],
    [
      'nan in front of signs',
      'transform: [{trim: {density: 0.4}}], weighting: {nan: {}}, combine: {sign_consensus: {normalize: true}}',
      '',
    ],
    ['metagpt', 'weighting: {metagpt: {}}, combine: {sum: {}}', ''],
    ['krum', 'combine: {krum: {byzantine: 1}}', ''],
    ['geometric median', 'combine: {geometric_median: {}}', ''],
    ['clipped', 'transform: [{clip: {rho: auto}}], combine: {sum: {}}', ''],
    ['agreement', 'combine: {agreement: {rho: 0.5}}', '{scale: {lambda: 0.5}}, '],
    ['dropped', 'transform: [{drop: {density: 0.5}}], combine: {sign_consensus: {}}', ''],
    ['lines with alpha measured', 'transform: [{trim: {density: 0.4}}], combine: {sum: {}}', '{lines: {}}, '],
  ])('%s', async (_name, steps, before) => {
    for (const inputs of [contributions, deltas]) {
      const round = { dtype: 'F32' as const, base, contributions: inputs };
      const expected = await playWithoutServer(root, { ...round, recipe: `rule: {${steps}, post: [${before.slice(0, -2)}]}\n` });
      const recipe = `rule: {${steps}, post: [${before}{server: {optimizer: momentum}}]}\n`;
      const { model } = await playServerRound(root, { ...round, recipe, old: undefined });
      for (const [name, values] of Object.entries(expected)) {
        const worst = values.reduce((most, value, index) => Math.max(most, Math.abs(value - (model[name]?.[index] ?? Number.NaN))), 0);
        expect(worst).toBeLessThan(3e-7);
      }
    }
  });

  it('refuses a measured alpha behind server', async () => {
    const recipe = 'rule: {combine: {median: {}}, post: [{server: {}}, {lines: {}}]}\n';
    const error = await expectError('RECIPE_INVALID', () =>
      playServerRound(root, { dtype: 'F32', base, contributions, recipe, old: undefined }),
    );
    expect(error.message).toContain('in front of server');
  });
});

describe('hand values', () => {
  const one = (value: number): Numbers => ({ w: [value] });
  const play = (recipe: string, old?: ServerOutcome, base = 1, tuned = 1.5) =>
    playServerRound(root, { recipe, dtype: 'F32', base: one(base), contributions: [{ values: one(tuned), samples: 3 }], old: old?.state });

  it('fedadam and fedyogi: x = 1, Delta = 0.5, lr 0.1, tau 1e-3 give 1.098039', async () => {
    for (const method of ['fedadam', 'fedyogi']) {
      const { model, moments } = await play(`merge_method: ${method}\n`);
      expect(model['w']?.[0]).toBeCloseTo(1.098039, 6);
      expect([moments['m.w']?.[0], moments['v.w']?.[0]].map((value) => value?.toFixed(6))).toEqual(['0.050000', '0.002500']);
    }
  });

  it('fedavgm: 1, then 0.9 of the last step besides the new one', async () => {
    const first = await play('merge_method: fedavgm\n');
    expect(first.model).toEqual(one(1.5));
    const second = await play('merge_method: fedavgm\n', first, 1.5, 1.75);
    expect(second.model['w']?.[0]).toBeCloseTo(1.5 + 0.9 * 0.5 + 0.25, 6);
  });

  it('steps in front of server are part of Delta, steps behind it scale the step', async () => {
    const rule = (post: string): string => `rule:\n  weighting: {samples: {}}\n  combine: {sum: {}}\n  post: [${post}]\n`;
    const before = await play(rule('{scale: {lambda: 0.5}}, {server: {optimizer: momentum}}'));
    expect([before.model['w'], before.moments['m.w']]).toEqual([[1.25], [0.25]]);
    const behind = await play(rule('{server: {optimizer: momentum}}, {scale: {lambda: 0.5}}'));
    expect([behind.model['w'], behind.moments['m.w']]).toEqual([[1.25], [0.5]]);
  });

  it('any rule makes Delta: a median, signs elected after trimming, clipping', async () => {
    const base = { w: [0, 0, 0, 0] };
    const contributions = [
      [1, 2, 0, 0],
      [0.5, -2, 4, 0],
      [0.75, 2, 0, 1],
    ].map((w) => ({ values: { w }, samples: 1 }));
    const deltaOf = async (steps: string): Promise<readonly number[] | undefined> => {
      const recipe = `rule:\n  ${steps}\n  post: [{server: {optimizer: momentum}}]\n`;
      return (await playServerRound(root, { recipe, dtype: 'F32', base, contributions, old: undefined })).moments['m.w'];
    };
    expect(await deltaOf('combine: {median: {}}')).toEqual([0.75, 2, 0, 0]);
    expect(await deltaOf('transform: [{trim: {density: 0.25}}]\n  combine: {sign_consensus: {normalize: true}}')).toEqual([0, 2, 4, 0]);
    const clipped = await deltaOf('transform: [{clip: {rho: 1}}]\n  combine: {sum: {normalize: true}}');
    const norms = contributions.map(({ values }) => Math.hypot(...values.w));
    for (const index of [0, 1, 2, 3]) {
      const expected = contributions.reduce((sum, { values }, one) => sum + (values.w[index] ?? 0) / (norms[one] ?? 1) / 3, 0);
      expect(clipped?.[index]).toBeCloseTo(expected, 6);
    }
  });
});
