/** From a rule and its parameters for one tensor to a program: which stages, which combination, with which numbers. */
import { createHash } from 'node:crypto';
import { TributaryError } from '../errors/tributary-error.js';
import type { ParameterValues } from '../recipe/evaluate.js';
import type { Recipe, TransformStep } from '../recipe/recipe.js';
import type { Band, Combine, RandomKey, Rescale, Stage } from './program.js';
import { roundTo } from './rounding.js';

/** One input of the tensor, as far as a program cares. */
export interface ProgramInput {
  /** Number of the participant, for its parameters. */
  readonly participant: number;
  readonly name: string;
  /** Name of the input's own tensor: random masks depend on it. */
  readonly tensorName: string;
  /** Hex digest of the contribution's weights; only known when the rule draws at random. */
  readonly weightsDigest?: string | undefined;
}

export interface ProgramRequest {
  readonly recipe: Recipe;
  readonly values: ParameterValues;
  readonly tensorName: string;
  readonly shape: readonly number[];
  readonly count: number;
  /** Of the tensor's shape. */
  readonly dimensions: number;
  /** Elements of the whole model, for orders over all tensors. */
  readonly modelCount: number;
  readonly inputs: readonly ProgramInput[];
  /** DTYPE_CODE that results are rounded to under `numerics: mergekit`; 0 for F32 and for exact numerics. */
  readonly rounding: number;
}

export const drawsAtRandom = (recipe: Recipe): boolean => recipe.rule.transforms.some((step) => step === 'drop' || step === 'della');
export const isPaperTies = (recipe: Recipe): boolean =>
  recipe.rule.combine === 'sign_consensus' && recipe.options.get('variant') === 'paper';

function invalid(recipe: Recipe, what: string, details: { expected?: string; got?: string; fix?: string } = {}): never {
  throw new TributaryError('RECIPE_INVALID', { what, where: recipe.fileName, ...details });
}

function keyOf({ recipe }: ProgramRequest, { weightsDigest, tensorName, name }: ProgramInput): RandomKey {
  if (weightsDigest === undefined) throw new TributaryError('INTERNAL', { what: `the weights of ${name} have no digest to draw with` });
  const hash = createHash('sha256').update(`${recipe.seed}\n${weightsDigest}\n${tensorName}`).digest();
  return [hash.readInt32LE(0), hash.readInt32LE(4)];
}

function rescaleOf({ recipe }: ProgramRequest): Rescale {
  const word = recipe.options.get('rescale');
  return word === 'l1' ? 'l1' : word === '1/p' ? 'probability' : 'none';
}

/** The density x n largest; at least one, where mergekit fails on small tensors. Of the paper: int(density x n) + 1 of the whole model. */
function trimBand(request: ProgramRequest, density: number): Band | undefined {
  const { count, modelCount, recipe } = request;
  if (density >= 1) return undefined;
  if (isPaperTies(recipe)) return { from: Math.max(0, modelCount - Math.trunc(density * modelCount) - 1), to: modelCount, ties: 'all' };
  const kept = Math.trunc(density * count);
  if (kept === 0 && recipe.numerics === 'mergekit')
    return invalid(recipe, `density ${density} keeps none of the ${count} elements of tensor ${request.tensorName}`, {
      fix: 'mergekit fails here; leave out numerics: mergekit to keep at least one element, or give this tensor a higher density.',
    });
  return { from: count - Math.max(1, kept), to: count, ties: 'first' };
}

/** Without the gamma x n largest, and of the rest the density x n largest. mergekit zeroes everything when gamma x n is below one. */
function outlierBand(request: ProgramRequest, density: number, gamma: number): Band | undefined {
  const { count, recipe } = request;
  if (density >= 1) return undefined;
  const target = Math.trunc(density * count);
  let top = Math.trunc(gamma * count);
  let bottom = count - target - top;
  if (bottom < 0) {
    top += bottom;
    bottom = 0;
  }
  if (top === 0 && recipe.numerics === 'mergekit') return { from: 0, to: 0, ties: 'last' };
  return { from: bottom, to: count - top, ties: 'last' };
}

/** Steps on whole matrices are done before (derive.ts). */
function notHere(step: string): never {
  throw new TributaryError('INTERNAL', { what: `${step} was planned element by element` });
}

function stageOf(step: TransformStep, request: ProgramRequest): Stage {
  const { values, inputs, recipe } = request;
  const rescale = rescaleOf(request);
  const each = (name: string): number[] => inputs.map(({ participant }) => values.model(name, participant));
  switch (step) {
    case 'star':
      return notHere(step);
    case 'clip':
      return { kind: 'scale', factors: inputs.map(() => 1) };
    case 'trim':
      return {
        kind: 'band',
        scope: isPaperTies(recipe) ? 'model' : 'tensor',
        bands: each('density').map((density) => trimBand(request, density)),
        rescale,
      };
    case 'outliers': {
      const gammas = each('gamma');
      return {
        kind: 'band',
        scope: 'tensor',
        bands: each('density').map((density, index) => outlierBand(request, density, gammas[index] ?? 0)),
        rescale,
      };
    }
    case 'drop':
      return { kind: 'drop', densities: each('density'), keys: inputs.map((input) => keyOf(request, input)), rescale };
    case 'della': {
      const densities = each('density');
      const epsilons = each('epsilon');
      densities.forEach((density, index) => {
        const epsilon = epsilons[index] ?? 0;
        if (density <= 0 || density >= 1 || (density - epsilon > 0 && density + epsilon < 1)) return;
        invalid(recipe, `density ${density} -+ epsilon ${epsilon} of ${inputs[index]?.name ?? ''} is no probability everywhere`, {
          expected: '0 < density - epsilon and density + epsilon < 1',
          fix: 'Lower epsilon.',
        });
      });
      const interleaved = request.shape.slice(2).reduce((product, size) => product * size, 1);
      return { kind: 'della', densities, epsilons, keys: inputs.map((input) => keyOf(request, input)), rescale, interleaved };
    }
  }
}

export function stagesOf(request: ProgramRequest): Stage[] {
  const { recipe, values, inputs, modelCount } = request;
  if (recipe.rule.combine === 'sce') {
    const topk = values.global('select_topk');
    return topk < 1 ? [{ kind: 'variance', topk: Math.max(0, topk) }] : [];
  }
  if (recipe.rule.combine === 'arcee_fusion') return [{ kind: 'importance' }];
  if (recipe.rule.combine === 'localize') {
    const kept = Math.trunc(values.global('sparsity') * modelCount);
    const band: Band = kept === 0 ? { from: 0, to: 0, ties: 'none' } : { from: modelCount - kept, to: modelCount, ties: 'none' };
    return [{ kind: 'band', scope: 'model', bands: inputs.map(() => band), rescale: 'none' }];
  }
  return recipe.rule.transforms.map((step) => stageOf(step, request));
}

/** Values left out on each side of N sorted ones, and the places of what is averaged. */
function sortedRange({ recipe, values, inputs }: ProgramRequest): { from: number; to: number } {
  const n = inputs.length;
  if (recipe.rule.combine === 'trimmed_mean') {
    const side = Math.floor(values.global('trim') * n);
    if (2 * side >= n)
      return invalid(recipe, `trim leaves none of ${n} contributions`, {
        expected: 'less than half on each side',
        got: `${side} on each side`,
      });
    return { from: side, to: n - side };
  }
  const lower = Math.floor((n - 1) / 2);
  return { from: lower, to: n % 2 === 1 || recipe.options.get('even') === 'lower' ? lower + 1 : lower + 2 };
}

/** Undefined for combinations that are weighted sums with coefficients from products of pairs (see plan-sum.ts). */
export function combineOf(request: ProgramRequest): Combine | undefined {
  const { recipe, values, inputs, rounding } = request;
  const weights = (): number[] => inputs.map(({ participant }) => roundTo(rounding, values.model('weight', participant)));
  const normalize = (): boolean => values.global('normalize') !== 0;
  switch (recipe.rule.combine) {
    case 'sum':
      return { kind: 'sum', weights: weights(), normalize: normalize() };
    case 'sign_consensus': {
      const paper = isPaperTies(recipe);
      return {
        kind: 'consensus',
        weights: weights(),
        weighted: !paper,
        divide: !normalize() ? 'no' : paper ? 'count' : 'weights',
        zero: paper ? 'majority' : 'plus',
      };
    }
    case 'agreement':
      return { kind: 'agreement', rho: values.global('rho'), mean: recipe.options.get('aggregate') === 'mean' };
    case 'median':
    case 'trimmed_mean':
      return { kind: 'sorted', ...sortedRange(request) };
    case 'sce':
      return { kind: 'energy', floor: 1e-6 };
    case 'consensus_mask':
      return { kind: 'shared', alpha: values.global('alpha'), threshold: values.global('mask_lambda'), k: values.global('k') };
    case 'tall':
      return { kind: 'shared', alpha: values.global('alpha'), threshold: 0, k: 0 };
    case 'emr':
      return { kind: 'unify' };
    case 'localize':
      return { kind: 'mean_of_kept' };
    case 'nearswap':
      return { kind: 'nearswap', t: values.global('t') };
    case 'model_stock':
      return values.global('filter_wise') !== 0 ? { kind: 'row_stock' } : undefined;
    case 'nuslerp':
      return nuslerpRows(request);
    case 'arcee_fusion':
      return { kind: 'sum', weights: [1], normalize: false };
    case 'pcb':
      return { kind: 'competition', ratio: values.global('ratio') };
    case 'passthrough':
      return { kind: 'sum', weights: inputs.map(({ participant }) => values.model('scale', participant)), normalize: false };
    case 'slerp':
    case 'multislerp':
    case 'karcher':
    case 'geometric_median':
    case 'krum':
      return undefined;
    case 'tsv':
    case 'iso_c':
    case 'iso_cts':
    case 'knots':
    case 'wudi':
      return notHere(recipe.rule.combine);
  }
}

/** mergekit: t = w_1 / (w_0 + w_1), one half when they cancel out. */
export function nuslerpPosition([first = 0, second = 0]: readonly number[]): number {
  return Math.abs(first + second) < 1e-6 ? 0.5 : second / (first + second);
}

function nuslerpRows({ values, inputs, dimensions }: ProgramRequest): Combine | undefined {
  if (values.global('nuslerp_flatten') !== 0) return undefined;
  const t = nuslerpPosition(inputs.map(({ participant }) => values.model('weight', participant)));
  return { kind: dimensions > 1 && values.global('nuslerp_row_wise') !== 0 ? 'column_slerp' : 'row_slerp', t };
}
