/** One output tensor: a weighted sum with known coefficients, one whose coefficients are measured first, or a program. */
import { TributaryError } from '../errors/tributary-error.js';
import type { MergeDType, StoredTensor } from '../formats/tensor.js';
import { DTYPE_CODE } from '../kernels/kernels.js';
import { type ParameterValues, sumCoefficients } from '../recipe/evaluate.js';
import type { Recipe } from '../recipe/recipe.js';
import { combineOf, nuslerpPosition, type ProgramInput, stagesOf } from './plan-program.js';
import { holdsWeights, onlyBase, planSum, type SumSpec, type SumTerm, type TensorRule, valueMode } from './plan-sum.js';
import type { Combine, LinesFactor, TensorProgram } from './program.js';
import type { MergeInput, PendingSum, PlannedTensor } from './types.js';
import { isUnchanged } from './unchanged.js';

export interface TensorRequest {
  readonly recipe: Recipe;
  readonly values: ParameterValues;
  readonly name: string;
  readonly shape: readonly number[];
  readonly count: number;
  /** Elements of all merged tensors together. */
  readonly modelCount: number;
  readonly base?: StoredTensor | undefined;
  readonly inputs: readonly MergeInput[];
  /** Which tensor of which input takes part, in the order of the inputs. */
  readonly sources: readonly { readonly input: number; readonly tensor: StoredTensor }[];
  readonly dtype: MergeDType;
  /** Of the arithmetic under `numerics: mergekit`. */
  readonly arithmetic: MergeDType;
  /** What the merged vector is multiplied by: lambda, layer scaling. */
  readonly lambda: number;
  /** Its factor of the layer, where that is measured first. */
  readonly lines?: LinesFactor | undefined;
  /** Whether coefficients come from lengths and distances of whole task vectors. */
  readonly modelRule: boolean;
  /** The merged task vector itself is wanted, not the base plus it. */
  readonly vectorOnly: boolean;
}

type Planned = Pick<PlannedTensor, 'uses' | 'base' | 'divisor' | 'lambda' | 'plusBase' | 'vectorOnly' | 'program' | 'pending'>;

function termsOf({ sources, inputs }: TensorRequest, coefficient: (input: number, place: number) => number): SumTerm[] {
  return sources.map(({ input, tensor }, place) => ({
    input,
    tensor,
    full: holdsWeights(inputs[input], tensor),
    coefficient: coefficient(input, place),
  }));
}

/** Uses of a sum that is not known yet: those that will be measured or added up, so that their bytes are counted. */
function planPending(pending: PendingSum): Planned {
  const { of, terms, base, vectorOnly = false } = pending.spec;
  const uses = terms.map(({ input, tensor, full, coefficient }) => ({ input, tensor, mode: valueMode(of, full), coefficient }));
  return {
    uses,
    base: of === 'task_vectors' ? base : undefined,
    divisor: 1,
    lambda: pending.spec.lambda,
    plusBase: of === 'task_vectors' && !vectorOnly,
    pending,
  };
}

/** Coefficients that follow from angles between the tensor's own vectors. */
function sphereRule(request: TensorRequest): PendingSum | undefined {
  const { recipe, values, base, lambda, sources } = request;
  const equal = termsOf(request, () => 1);
  const spec = (of: SumSpec['of'], terms = equal): SumSpec => ({ of, terms, base, normalize: false, lambda });
  const weights = (): number[] => sources.map(({ input }) => values.model('weight', input));
  const around = base === undefined ? 'weights' : 'task_vectors';
  const { combine } = recipe.rule;
  if (combine === 'slerp' && base !== undefined)
    return {
      spec: spec('weights', [{ input: -1, tensor: base, full: true, coefficient: 1 }, ...equal]),
      rule: { kind: 'slerp', t: values.global('t') },
    };
  if (combine === 'nuslerp') return { spec: spec(around), rule: { kind: 'nuslerp', t: nuslerpPosition(weights()) } };
  if (combine === 'multislerp') {
    const given = weights();
    const sum = values.global('normalize_weights') === 0 ? 1 : given.reduce((all, one) => all + one, 0);
    return { spec: spec(around), rule: { kind: 'multislerp', weights: given.map((one) => one / sum), eps: values.global('eps') } };
  }
  if (combine === 'karcher')
    return { spec: spec('weights'), rule: { kind: 'karcher', maxIterations: values.global('max_iter'), tol: values.global('tol') } };
  if (combine === 'model_stock')
    return { spec: spec('task_vectors'), rule: { kind: 'model_stock', quirks: recipe.numerics === 'mergekit' } };
  return undefined;
}

function scaleOf({ recipe, values }: TensorRequest): number | 'm_half' {
  return recipe.options.get('scale') === 'm_half' ? 'm_half' : values.global('scale');
}

/** A sum of vectors as they are: exact numerics, no stages. */
function planWeightedSum(request: TensorRequest): Planned {
  const { recipe, values, base, sources, dtype, lambda, name, modelRule, vectorOnly } = request;
  const { combine, of, weighting, transforms } = recipe.rule;
  if (combine === 'passthrough')
    return planSum(
      { of: 'weights', terms: termsOf(request, (input) => values.model('scale', input)), base, normalize: false, lambda },
      dtype,
      name,
    );
  if (combine === 'krum' || combine === 'geometric_median' || transforms.includes('clip')) {
    // Coefficients of clipping are the aggregate already; the others are shares.
    const alone = combine !== 'sum' || weighting === 'uniform';
    const terms = termsOf(request, (input) => (alone ? 1 : values.model('weight', input)));
    const normalize = combine !== 'sum' || (!alone && values.global('normalize') !== 0);
    return planPending({ spec: { of, terms, base, normalize, lambda, vectorOnly } });
  }
  const { coefficients, normalize } = sumCoefficients(
    recipe,
    sources.map(({ input }) => input),
    values,
    name,
  );
  const spec: SumSpec = { of, terms: termsOf(request, (_, place) => coefficients[place] ?? 0), base, normalize, lambda, vectorOnly };
  if (weighting === 'nan' && recipe.options.get('per') === 'tensor') {
    const rule: TensorRule = { kind: 'nan', scale: scaleOf(request) };
    const measures = recipe.options.get('norm') === 'task_vector' ? 'task_vectors' : 'weights';
    return planPending({ spec, rule, measures });
  }
  return modelRule ? planPending({ spec }) : planSum(spec, dtype, name);
}

/** Length of a row: the last dimension; all elements of a vector. Columns are as many apart as there are elements behind the first dimension. */
function columnsOf({ recipe, shape, count }: TensorRequest, how: Combine): number {
  if (shape.length < 2) return count;
  const behindFirst = how.kind === 'column_slerp' || recipe.rule.transforms.includes('della');
  return behindFirst ? count / (shape[0] ?? 1) : (shape.at(-1) ?? count);
}

/** Under `numerics: mergekit` inputs of another dtype are rounded to that of the arithmetic first. */
function castOf({ recipe, arithmetic, sources, base }: TensorRequest): number | undefined {
  if (recipe.numerics === 'exact' || arithmetic === 'F32') return undefined;
  const others = sources.some(({ tensor }) => tensor.dtype !== arithmetic) || (base !== undefined && base.dtype !== arithmetic);
  return others ? DTYPE_CODE[arithmetic] : undefined;
}

export function refuseLines({ recipe }: Pick<TensorRequest, 'recipe'>): never {
  throw new TributaryError('RECIPE_INVALID', {
    what: `alpha: auto is not known for ${recipe.method}`,
    where: recipe.fileName,
    expected: 'alpha: a number',
    fix: 'Say alpha.',
  });
}

/** A sum whose merged vector is looked at before it is scaled: a program, not a weighted sum that leaves the base out where it can. */
function measuredSum(request: TensorRequest): Combine {
  const { recipe, values, sources, modelRule, name } = request;
  const { combine, weighting, transforms } = recipe.rule;
  if (weighting === 'nan' && recipe.options.get('per') === 'tensor') return refuseLines(request);
  if (combine !== 'sum') return { kind: 'sum', weights: sources.map(() => 1), normalize: true };
  // Coefficients of clipping in front of a uniform sum are the aggregate already.
  if (modelRule && transforms.length > 0 && weighting === 'uniform')
    return { kind: 'sum', weights: sources.map(() => 1), normalize: false };
  const { coefficients, normalize } = sumCoefficients(
    recipe,
    sources.map(({ input }) => input),
    values,
    name,
  );
  return { kind: 'sum', weights: coefficients, normalize };
}

/** What is kept of the merged vector for each task. */
function taskMaskOf({ recipe, values }: TensorRequest): Pick<TensorProgram, 'taskMask'> {
  if (recipe.rule.combine === 'emr') return { taskMask: { kind: 'agree' } };
  return recipe.rule.combine === 'tall' ? { taskMask: { kind: 'beyond', threshold: values.global('mask_lambda') } } : {};
}

/**
 * Whether a program makes the base of what is the base: all vectors are zero, its stages leave zeros, and nothing that other tensors need is
 * counted or kept of it.
 */
function leavesBase(program: TensorProgram, { base, sources, inputs, recipe, modelRule }: TensorRequest): boolean {
  const { combine, stages, lines, taskMask } = program;
  const alone = lines === undefined && taskMask === undefined && !modelRule && recipe.numerics === 'exact';
  const ofZeros = ['sum', 'agreement', 'energy', 'shared', 'sorted'].includes(combine.kind) || isPlainConsensus(combine);
  if (!alone || !ofZeros || stages.some((stage) => 'scope' in stage && stage.scope === 'model')) return false;
  return sources.every(({ input, tensor }) => holdsWeights(inputs[input], tensor) && isUnchanged(tensor, base));
}

const isPlainConsensus = (combine: Combine): boolean => combine.kind === 'consensus' && combine.zero === 'plus';

/** @throws RECIPE_INVALID */
export function planTensor(request: TensorRequest): Planned {
  const { recipe, sources, inputs, base, dtype, arithmetic, lambda, values, name, shape, count, modelCount } = request;
  const { lines } = request;
  const exact = recipe.numerics === 'exact';
  const rounding = exact ? 0 : DTYPE_CODE[arithmetic];
  const { combine, transforms, of } = recipe.rule;
  const onlyClips = transforms.every((step) => step === 'clip');
  const isSum = combine === 'sum' || combine === 'passthrough' || combine === 'krum' || combine === 'geometric_median';
  const rounds = !exact && (combine === 'passthrough' || (combine === 'sum' && transforms.length === 0));
  if (isSum && onlyClips && !rounds && lines === undefined) return planWeightedSum(request);
  const programInputs = sources.map(({ input, tensor }): ProgramInput => {
    const one = inputs[input];
    return { participant: input, name: one?.name ?? '', tensorName: tensor.name, weightsDigest: one?.weightsDigest };
  });
  const programRequest = {
    recipe,
    values,
    tensorName: name,
    shape: request.shape,
    count,
    dimensions: shape.length,
    modelCount,
    inputs: programInputs,
    rounding,
  };
  const how = lines !== undefined && isSum && onlyClips ? measuredSum(request) : combineOf(programRequest);
  if (how === undefined) {
    const pending = sphereRule(request);
    if (pending !== undefined && lines !== undefined) refuseLines(request);
    if (pending !== undefined) return planPending({ ...pending, cast: castOf(request) });
    throw new TributaryError('INTERNAL', { what: `${combine} was planned neither as a sum nor as a program`, where: name });
  }
  const vectors = combine === 'model_stock' || (combine === 'nuslerp' && base !== undefined) ? 'task_vectors' : of;
  const program: TensorProgram = {
    precision: exact && dtype === 'F32' ? 64 : 32,
    rounding,
    quirks: !exact,
    columns: columnsOf(request, how),
    stages: stagesOf(programRequest),
    combine: how,
    lambda,
    lines,
    plusBase: vectors === 'task_vectors' && combine !== 'nearswap' && !request.vectorOnly,
    ...taskMaskOf(request),
  };
  if (base !== undefined && program.plusBase && leavesBase(program, request)) return onlyBase(base);
  const uses = sources.map(({ input, tensor }) => ({
    input,
    tensor,
    mode: valueMode(vectors, holdsWeights(inputs[input], tensor)),
    coefficient: 1,
  }));
  const { vectorOnly } = request;
  const needsBase = program.plusBase || vectorOnly || combine === 'nearswap' || uses.some((use) => use.mode !== 'plain');
  return { uses, base: needsBase ? base : undefined, divisor: 1, lambda, plusBase: program.plusBase, vectorOnly, program };
}
