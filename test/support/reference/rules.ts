/** Every rule by its name in a recipe, with a recipe's parameters and defaults, from full weights to full weights. */
import { arceeFusion } from './arcee-fusion.js';
import { familyCombine, rounder, sce, tiesPaperMerge, tiesPaperTrim } from './consensus.js';
import { coordinateMedian, fedgma, nearswap, trimmedMean } from './elementwise.js';
import { FAMILY } from './family.js';
import { karcher, modelStock, multislerp, nuslerp, nuslerpShare, slerp } from './geometry.js';
import { flagFrom, modelsOf, numberFrom, ofTensors, ofWhole, onBase, tausOf, weightsOf, wordFrom } from './request.js';
import { centredClipping, fedavgShares, fednovaShares, geometricMedian, metagptShares, multiKrum, nanShares } from './sums.js';
import { consensusTaskArithmetic, linesAlpha, linesFactor, localizeAndStitch, pcb } from './task-masks.js';
import type { ReferenceRequest, ReferenceRule } from './types.js';
import { combination, flatten, norm, perTensor, plus, type ReferenceModel, scaled, type Vector, zeros } from './vectors.js';

/** A rule of the weights themselves, tensor by tensor; the base takes part only if it is listed. */
const ofWeights =
  (rule: (models: readonly Vector[], request: ReferenceRequest) => Vector): ReferenceRule =>
  (request) =>
    perTensor(modelsOf(request), (models) => rule(models, request));

/** A rule of exactly the base and one other model. */
const ofPair =
  (rule: (base: Vector, other: Vector, request: ReferenceRequest, shape: readonly number[]) => Vector): ReferenceRule =>
  (request) =>
    perTensor([request.base ?? new Map(), ...modelsOf(request)], ([base = zeros(0), other = zeros(0)], shape) =>
      rule(base, other, request, shape),
    );

/** On the task vectors when there is a base, which is added back; on the weights when there is none. */
function relative(request: ReferenceRequest, rule: (vectors: readonly Vector[], shape: readonly number[]) => Vector): ReferenceModel {
  if (request.base === undefined) return perTensor(modelsOf(request), rule);
  const { base } = request;
  return perTensor([base, perTensor(tausOf(request), rule)], ([from = zeros(0), v = zeros(0)]) => plus(from, v));
}

const nan: ReferenceRule = (request) => {
  const taus = tausOf(request);
  const measured = wordFrom(request, 'norm', ['finetuned', 'task_vector']) === 'finetuned' ? modelsOf(request) : taus;
  const given = request.parameters?.['scale'];
  const scale = given === 'm_half' ? given : Number(given ?? 1);
  const whole = nanShares(
    measured.map((model) => norm(flatten(model))),
    scale,
  );
  const perModel = wordFrom(request, 'per', ['model', 'tensor']) === 'model';
  const sharesOf = (name: string): number[] =>
    perModel
      ? whole
      : nanShares(
          measured.map((model) => norm(model.get(name)?.values ?? zeros(0))),
          scale,
        );
  return onBase(
    request,
    perTensor(taus, (vectors, _shape, name) => combination(vectors, sharesOf(name))),
  );
};

/** V = sum of tau_i, scaled by depth. */
const lines: ReferenceRule = (request) => {
  const taus = tausOf(request);
  const flats = taus.map(flatten);
  const given = request.parameters?.['alpha'] ?? 'auto';
  const alpha =
    given === 'auto'
      ? linesAlpha(
          flats,
          combination(
            flats,
            flats.map(() => 1),
          ),
        )
      : Number(given);
  const beta = request.parameters?.['beta'] ?? 'auto';
  return onBase(
    request,
    perTensor(taus, (vectors, _shape, name) =>
      scaled(
        combination(
          vectors,
          vectors.map(() => 1),
        ),
        linesFactor(alpha, beta === 'auto' ? 1 - alpha : Number(beta), request.depth?.(name)),
      ),
    ),
  );
};

const sumOf = (taus: readonly Vector[], factor: number): Vector =>
  combination(
    taus,
    taus.map(() => factor),
  );

const robust = (name: 'krum' | 'multi_krum'): ReferenceRule =>
  ofWhole((taus, request) => {
    const byzantine = numberFrom(request, 'byzantine', 0);
    const keep = request.parameters?.['keep'] ?? 'auto';
    return multiKrum(taus, byzantine, name === 'krum' ? 1 : keep === 'auto' ? taus.length - byzantine - 2 : Number(keep));
  });

/** The paper's form: trimmed over all tensors at once, unweighted. */
const tiesPaper = ofWhole((taus, request) =>
  tiesPaperMerge(
    taus.map((tau, index) => tiesPaperTrim(tau, request.inputs[index]?.density ?? numberFrom(request, 'density', 1))),
    flagFrom(request, 'normalize', true) ? 'mean' : 'sum',
  ),
);

export const REFERENCE_RULES = {
  ...FAMILY,
  linear: ofWeights((models, request) =>
    familyCombine(models, {
      weights: weightsOf(request),
      consensus: false,
      normalize: flagFrom(request, 'normalize', true),
      arithmetic: request.arithmetic,
    }),
  ),
  passthrough: ofWeights(([only = zeros(0)], request) => {
    const scale = request.inputs[0]?.scale ?? numberFrom(request, 'scale', 1);
    return scaled(only, request.arithmetic === undefined ? scale : Math.fround(scale)).map(rounder(request.arithmetic));
  }),
  fedavg: ofTensors((taus, request) => combination(taus, fedavgShares(request.inputs.map((input) => input.samples ?? 0)))),
  fednova: ofTensors((taus, request) => combination(taus, fednovaShares(request.inputs.map((input) => input.steps ?? 0)))),
  fedgma: ofTensors((taus, request) => fedgma(taus, numberFrom(request, 'rho', 0.5), wordFrom(request, 'aggregate', ['sum', 'mean']))),
  median: ofTensors((taus, request) => coordinateMedian(taus, wordFrom(request, 'even', ['mean', 'lower']))),
  trimmed_mean: ofTensors((taus, request) => trimmedMean(taus, numberFrom(request, 'trim', 0.2))),
  cclip: ofWhole((taus, request) => {
    const rho = request.parameters?.['rho'] ?? 'auto';
    const iterations = numberFrom(request, 'iterations', 1);
    return centredClipping(taus, {
      rho: rho === 'auto' ? rho : Number(rho),
      iterations,
      aggregate: wordFrom(request, 'aggregate', ['sum', 'mean']),
    });
  }),
  geometric_median: ofWhole((taus, request) =>
    geometricMedian(taus, {
      iterations: numberFrom(request, 'iterations', 100),
      smoothing: numberFrom(request, 'smoothing', 1e-6),
      tol: numberFrom(request, 'tol', 1e-6),
    }),
  ),
  krum: robust('krum'),
  multi_krum: robust('multi_krum'),
  nan,
  metagpt: ofWhole((taus) => combination(taus, metagptShares(taus.map(norm)))),
  ties: (request) => (request.parameters?.['variant'] === 'paper' ? tiesPaper : FAMILY.ties)(request),
  sce: ofTensors((taus, request) => sce(taus, numberFrom(request, 'select_topk', 1), request.quirks)),
  consensus_ta: ofTensors((taus, request) => {
    const merged = sumOf(taus, numberFrom(request, 'alpha', 0.4));
    return consensusTaskArithmetic(taus, merged, numberFrom(request, 'mask_lambda', 0.4), numberFrom(request, 'k', 2));
  }),
  pcb: ofWhole((taus, request) => pcb(taus, numberFrom(request, 'ratio', 0.1))),
  lines,
  localize_and_stitch: ofWhole((taus, request) => localizeAndStitch(taus, numberFrom(request, 'sparsity', 0.1))),
  slerp: ofPair((base, other, request) => slerp(base, other, numberFrom(request, 't', Number.NaN))),
  nuslerp: (request) => {
    const [first = 1, second = 1] = weightsOf(request);
    const by = flagFrom(request, 'nuslerp_flatten', true) ? 'flatten' : flagFrom(request, 'nuslerp_row_wise', false) ? 'column' : 'row';
    return relative(request, ([a = zeros(0), b = zeros(0)], shape) => nuslerp(a, b, shape, nuslerpShare(first, second), by));
  },
  multislerp: (request) =>
    relative(request, (vectors) =>
      multislerp(vectors, weightsOf(request), flagFrom(request, 'normalize_weights', true), numberFrom(request, 'eps', 1e-8)),
    ),
  karcher: ofWeights((models, request) => karcher(models, numberFrom(request, 'max_iter', 10), numberFrom(request, 'tol', 1e-5))),
  model_stock: ofTensors((taus, request, shape) => modelStock(taus, shape, flagFrom(request, 'filter_wise', false), request.quirks)),
  nearswap: ofPair((base, other, request) => nearswap(base, other, numberFrom(request, 't', Number.NaN))),
  arcee_fusion: ofPair((base, other, _request, shape) => plus(base, arceeFusion(base, other, shape))),
} satisfies Record<string, ReferenceRule>;

export type ReferenceRuleName = keyof typeof REFERENCE_RULES;

export function referenceMerge(rule: ReferenceRuleName, request: ReferenceRequest): ReferenceModel {
  return REFERENCE_RULES[rule](request);
}
