/** Rules that no paper's code was run for: the slow references against values worked out on paper, and mergekit's quirks against ours. */
import { describe, expect, it } from 'vitest';
import { type ReferenceRuleName, referenceMerge } from '../support/reference/rules.js';
import { dellaMask, dellaProbabilities } from '../support/reference/selection.js';
import { fedAdaptive, fedavgm } from '../support/reference/server-optimizers.js';
import { emrModels, tallModels } from '../support/reference/tasks.js';
import type { ReferenceInput, ReferenceRequest } from '../support/reference/types.js';
import { elementsOf, type ReferenceModel } from '../support/reference/vectors.js';
import oracles from './oracles.json' with { type: 'json' };

const tensor = (values: readonly number[], shape: readonly number[] = [values.length]) => ({ shape, values: Float64Array.from(values) });
const fixture = (values: readonly number[]): ReferenceModel =>
  new Map([
    ['w', tensor(values.slice(0, 9), [3, 3])],
    ['b', tensor(values.slice(9))],
  ]);
const zeros = fixture(Array<number>(12).fill(0));
const taus = oracles.fixture.taus.map((tau, index): ReferenceInput => ({ name: `m${index}`, tensors: fixture(tau) }));

function merged(rule: ReferenceRuleName, request: Partial<ReferenceRequest> = {}) {
  const result = referenceMerge(rule, { base: zeros, inputs: taus, ...request });
  return [...result.values()].flatMap(({ values }) => [...values]);
}

interface VectorOptions extends Omit<Partial<ReferenceRequest>, 'inputs'> {
  readonly shape?: readonly number[];
  readonly inputs?: readonly Partial<ReferenceInput>[];
}

/** One tensor `t` over a base of zeros. */
function ofVectors(rule: ReferenceRuleName, vectors: readonly (readonly number[])[], options: VectorOptions = {}): number[] {
  const { shape = [vectors[0]?.length ?? 0], inputs = [], ...request } = options;
  const model = (values: readonly number[]): ReferenceModel => new Map([['t', tensor(values, shape)]]);
  const all = vectors.map((values, index): ReferenceInput => ({ ...inputs[index], name: `m${index}`, tensors: model(values) }));
  const base = model(Array<number>(elementsOf(shape)).fill(0));
  return [...(referenceMerge(rule, { base, ...request, inputs: all }).get('t')?.values ?? [])];
}

const kept = new Map([['t', [1, 0, 1]]]);
const weighted = (...weights: number[]): ReferenceInput[] => taus.map((input, index) => ({ ...input, weight: weights[index] ?? 1 }));
const near = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 12) as number);

describe('the mergekit family', () => {
  const half = { parameters: { density: 0.5 } };
  it.each<[string, () => number[], readonly number[]]>([
    ['ties, trimmed tensor by tensor', () => merged('ties', half), [1.5, -2, -1, 2, 2.5, 1, 0, -2, 3, 2, 3, -2]],
    [
      'ties with weights in election and mean',
      () => merged('ties', { ...half, inputs: weighted(2, 1, 1) }),
      [5 / 3, -2, -1, 2, 2, 1, 0, -2, 3, 2, 3, -2],
    ],
    [
      'a negative weight elects against its own sign',
      () => ofVectors('ties', [[3], [2]], { inputs: [{ weight: 1 }, { weight: -2 }] }),
      [2],
    ],
    ['an even election elects +', () => ofVectors('ties', [[1], [-1]]), [1]],
    [
      'breadcrumbs',
      () => ofVectors('breadcrumbs', [[2, 0, -1, 0, 1, 0, 1, 0, 3]], { parameters: { density: 0.5, gamma: 0.2 } }),
      [2, 0, -1, 0, 1, 0, 1, 0, 0],
    ],
    ['breadcrumbs without a top to cut off', () => ofVectors('breadcrumbs', [[1, 0, -2]], { parameters: { density: 0.5 } }), [0, 0, -2]],
    [
      'the same as mergekit has it',
      () => ofVectors('breadcrumbs', [[1, 0, -2]], { parameters: { density: 0.5 }, quirks: 'mergekit' }),
      [0, 0, 0],
    ],
    [
      'breadcrumbs of so high a density that the top shrinks',
      () => ofVectors('breadcrumbs', [[1, 4, -2, 3]], { parameters: { density: 0.75, gamma: 0.5 } }),
      [1, 0, -2, 3],
    ],
    ['a density that keeps nothing keeps one', () => ofVectors('ties', [[1, -3, 3]], { parameters: { density: 0.1 } }), [0, -3, 0]],
    [
      'dare, magnitudes brought back',
      () => ofVectors('dare_linear', [[2, -4, 6]], { parameters: { density: 0.5 }, inputs: [{ masks: kept }] }),
      [3, 0, 9],
    ],
    [
      'dare, divided by the density',
      () =>
        ofVectors('dare_linear', [[2, -4, 6]], {
          parameters: { density: 0.5, rescale: '1/p' },
          inputs: [{ masks: kept }],
        }),
      [4, 0, 12],
    ],
    [
      'della, divided by the probabilities',
      () =>
        ofVectors('della_linear', [[2, -4, 6]], {
          parameters: { density: 0.5, epsilon: 0.25, rescale: '1/p' },
          inputs: [{ masks: kept }],
        }),
      [8, 0, 8],
    ],
  ])('%s', (_name, actual, expected) => expect(actual()).toEqual(near(expected)));

  it('mergekit refuses a density that keeps nothing', () => {
    expect(() => ofVectors('ties', [[1, -3, 3]], { parameters: { density: 0.1 }, quirks: 'mergekit' })).toThrow('keeps no element');
  });

  it('rounds after every operation when asked to', () => {
    const request = { parameters: { lambda: 1 }, inputs: [{ weight: 0.3 }], arithmetic: 'BF16' as const };
    expect(ofVectors('task_arithmetic', [[1]], request)).toEqual([0.30078125]);
    expect(ofVectors('task_arithmetic', [[1]], { ...request, arithmetic: undefined })).toEqual([0.3]);
  });
});

describe('random keeping', () => {
  it('della ranks along dimension 1; a slice of one has the density', () => {
    const conv = Float64Array.from([1, 9, 5, 6, 2, 3]);
    expect([...dellaProbabilities(conv, [1, 3, 2], 0.5, 0.25)]).toEqual([0.25, 0.75, 0.75, 0.5, 0.5, 0.25]);
    expect([...dellaProbabilities(Float64Array.from([3, 1]), [2, 1], 0.5, 0.25)]).toEqual([0.5, 0.5]);
    expect([...dellaProbabilities(Float64Array.from([3, 1]), [2], 0.5, 0.25)]).toEqual([0.75, 0.25]);
  });

  it('keeps where the word lies below the probability', () => {
    expect([...dellaMask(Float64Array.from([0.5, 0.5, 0, 1]), [2 ** 31 - 1, 2 ** 31, 0, 2 ** 32 - 1])]).toEqual([1, 0, 0, 1]);
  });
});

describe('other rules', () => {
  const two = (a: readonly number[], b: readonly number[]): readonly (readonly number[])[] => [a, b];
  it.each<[string, () => number[], readonly number[]]>([
    [
      'the mean without the outermost of three is the median',
      () => merged('trimmed_mean', { parameters: { trim: 0.34 } }),
      oracles.coordinateMedian.value,
    ],
    ['nothing is trimmed below one in five', () => ofVectors('trimmed_mean', [[1], [2], [6]]), [3]],
    ['nearswap', () => ofVectors('nearswap', [[1, -0.5, 0, 0.1]], { parameters: { t: 0.5 } }), [0.5, -0.5, 0, 0.1]],
    ['arcee fusion takes what lies above 1.5 interquartile ranges', () => ofVectors('arcee_fusion', [[1, 2, 3, 4, 20]]), [0, 0, 0, 0, 20]],
    [
      'localize and stitch keeps what lies strictly above',
      () => merged('localize_and_stitch', { parameters: { sparsity: 0.25 } }),
      [0, 0, 0, 0, 4, 0, 0, 0, 3, 0, 3, 0],
    ],
    [
      'localize and stitch averages where tasks meet',
      () =>
        ofVectors(
          'localize_and_stitch',
          [
            [4, 1, 0],
            [2, 1, 0],
          ],
          { parameters: { sparsity: 0.7 } },
        ),
      [3, 0, 0],
    ],
    ['consensus TA scales before it masks', () => merged('consensus_ta'), oracles.consensusTa.value],
    ['karcher of two of one norm is halfway along the arc', () => ofVectors('karcher', two([1, 0], [0, 1])), [Math.SQRT1_2, Math.SQRT1_2]],
    ['multislerp of two is slerp', () => ofVectors('multislerp', two([1, 0], [0, 1])), [Math.SQRT1_2, Math.SQRT1_2]],
    [
      'nuslerp by columns',
      () =>
        ofVectors('nuslerp', two([1, 2, 0, 0], [0, 4, 1, 0]), {
          shape: [2, 2],
          parameters: { nuslerp_flatten: false, nuslerp_row_wise: true },
        }),
      [Math.SQRT1_2, 3, Math.SQRT1_2, 0],
    ],
    [
      'model stock by rows',
      () => ofVectors('model_stock', two([1, 0, 1, 0], [1, 0, 0, 1]), { shape: [2, 2], parameters: { filter_wise: true } }),
      [1, 0, 0, 0],
    ],
    ['lines', () => ofVectors('lines', two([2], [4]), { parameters: { alpha: 0.5, beta: 1 }, depth: () => 0.5 }), [6]],
    ['NAN tensor by tensor', () => ofVectors('nan', two([1], [3]), { parameters: { per: 'tensor', norm: 'task_vector' } }), [1.5]],
    ['passthrough', () => ofVectors('passthrough', [[1, -2]], { parameters: { scale: 0.5 } }), [0.5, -1]],
    [
      'fednova times lambda',
      () => ofVectors('fednova', two([1], [1]), { inputs: [{ steps: 1 }, { steps: 3 }], parameters: { lambda: 0.5 } }),
      [2 / 3],
    ],
  ])('%s', (_name, actual, expected) => expect(actual()).toEqual(near(expected)));

  it('sce of small task vectors: ours scales along, mergekit falls back to equal weights', () => {
    const small = (factor: number) => [[3, 1].map((x) => x * factor), [1, 1].map((x) => x * factor)];
    const mean = (5 * 3 + 1 * 1) / 6;
    expect(ofVectors('sce', small(1))[0]).toBeCloseTo(mean, 12);
    expect((ofVectors('sce', small(1e-6))[0] ?? 0) * 1e6).toBeCloseTo(mean, 9);
    expect((ofVectors('sce', small(1e-6), { quirks: 'mergekit' })[0] ?? 0) * 1e6).toBeCloseTo(2, 9);
  });

  it('the first steps of momentum and Yogi', () => {
    const one = (value: number) => Float64Array.from([value]);
    expect(fedavgm(one(0.5), one(1), 0.1, 0.9)).toEqual({ update: one(0.1 * 1.4), m: one(1.4) });
    const options = { serverLr: 0.1, beta1: 0.9, beta2: 0.99, tau: 1e-3 };
    const first = fedAdaptive('fedyogi', one(0.5), { m: one(0), v: one(0) }, options);
    expect(first.update[0]).toBeCloseTo(0.098039, 6);
    expect(fedAdaptive('fedyogi', one(0.5), { m: one(0), v: one(1) }, options).state.v[0]).toBeCloseTo(0.9975, 12);
  });
});

describe('one model a task', () => {
  const flat = (model: ReferenceModel) => [...model.values()].flatMap(({ values }) => [...values]);
  const request = { base: zeros, inputs: taus };

  it('TALL: where the mask is, the scaled sum', () => {
    const sums = (taus[0] === undefined ? [] : flat(taus[0].tensors)).map((_, index) =>
      taus.reduce((sum, { tensors }) => sum + (flat(tensors)[index] ?? 0), 0),
    );
    const expected = oracles.tallMasksScaled40.value.map((mask) => near(mask.map((kept, index) => kept * 0.4 * (sums[index] ?? 0))));
    expect(tallModels(request).map(flat)).toEqual(expected);
  });

  it('EMR: where the mask is, the unified vector, rescaled', () => {
    const expected = oracles.emrMasks.value.map((mask, task) =>
      mask.map((kept, index) => kept * (oracles.emrUnified.value[index] ?? 0) * (oracles.emrRescalersOfficial.value[task] ?? 0)),
    );
    const found = emrModels(request).map(flat);
    for (const [task, values] of expected.entries())
      for (const [index, value] of values.entries()) expect(found[task]?.[index]).toBeCloseTo(value, 5);
  });
});
