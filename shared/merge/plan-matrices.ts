/** Plans tensors whose rule has steps on whole matrices: what is derived first, and what is then merged of it. */
import { sumCoefficients } from '../recipe/evaluate.js';
import type { Recipe } from '../recipe/recipe.js';
import { needsMatrices, planDerivation } from './derive.js';
import { matrixPicker } from './matrix-tensors.js';
import { planSum } from './plan-sum.js';
import { planTensor, refuseLines, type TensorRequest } from './plan-tensor.js';
import type { PlannedTensor } from './types.js';

type Planned = ReturnType<typeof planTensor> & Pick<PlannedTensor, 'derivation'>;

/** Coefficients of a plain sum that nothing is measured for: transformed vectors are then added up as they are made. */
function knownSum(request: TensorRequest): readonly number[] | undefined {
  const { recipe, sources, values, name, lines, modelRule } = request;
  const { combine, transforms, weighting } = recipe.rule;
  if (combine !== 'sum' || transforms.length > 0 || lines !== undefined || modelRule || recipe.numerics !== 'exact') return undefined;
  if (weighting === 'nan' || weighting === 'metagpt') return undefined;
  const participants = sources.map(({ input }) => input);
  const { coefficients, normalize } = sumCoefficients(recipe, participants, values, name);
  const divisor = normalize ? coefficients.reduce((sum, one) => sum + one, 0) : 1;
  return coefficients.map((one) => one / divisor);
}

/**
 * @param recipe with its steps on matrices; requests come without
 * @param names of all tensors
 * @returns undefined when the rule has no such steps; the planner answers undefined for tensors that are no matrices
 */
export function matrixPlanner(recipe: Recipe, names: readonly string[]): ((request: TensorRequest) => Planned | undefined) | undefined {
  if (!needsMatrices(recipe)) return undefined;
  const isMatrix = matrixPicker(recipe.options.get('matrices') ?? 'layers', names);
  let place = 0;
  return (request) => {
    const { name, sources, base, lambda, vectorOnly, dtype } = request;
    if (!isMatrix(name)) return undefined;
    const derivation = planDerivation({ ...request, recipe, sum: knownSum(request), place });
    if (derivation === undefined) return undefined;
    place += 1;
    const { combine, inputs, outputs } = derivation;
    if (combine.kind === 'each') {
      const derived = sources.map((source, index) => ({ ...source, tensor: outputs[index] ?? source.tensor }));
      return { ...planTensor({ ...request, sources: derived }), derivation };
    }
    if (request.lines !== undefined) return refuseLines(request);
    const terms = outputs.map((tensor) => ({ input: inputs[0]?.input ?? 0, tensor, full: false, coefficient: 1 }));
    return { ...planSum({ of: 'task_vectors', terms, base, normalize: false, lambda, vectorOnly }, dtype, name), derivation };
  };
}
