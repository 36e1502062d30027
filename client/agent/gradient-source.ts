/**
 * How the weights of a candidate change with its coefficients, where that is known in closed form: under a plain sum of task vectors,
 * candidate = base + lambda x sum of w_k tau_k, the derivative by w_k is lambda tau_k (times the share that the layer has of an anchor), and by
 * lambda it is sum of w_k tau_k (AdaMerging, arXiv 2310.02575, equations 2 and 3). Tensors are read when they are asked for.
 */
import { isMergeDType } from '../../shared/formats/tensor.js';
import { compileKernels, instantiateKernels } from '../../shared/kernels/kernels.js';
import { lambdaOf } from '../../shared/merge/plan-model.js';
import { holdsWeights } from '../../shared/merge/plan-sum.js';
import { readValues } from '../../shared/merge/read-values.js';
import { isUnchanged } from '../../shared/merge/unchanged.js';
import { createParameterReader, type ParameterReader } from '../../shared/recipe/evaluate.js';
import { layerPositions } from '../../shared/recipe/layers.js';
import { candidateRecipe } from '../../shared/recipe/map-block.js';
import type { Recipe } from '../../shared/recipe/recipe.js';
import type { GradientSource } from '../evaluate/evaluator.js';
import type { LocalInputs, OpenedStudy } from './open-study.js';

function isPlainSum({ rule, numerics }: Recipe): boolean {
  const { of, transforms, weighting, combine, post } = rule;
  const scaled = post.every((step) => step === 'scale' || step === 'lines');
  return of === 'task_vectors' && transforms.length === 0 && weighting === 'given' && combine === 'sum' && scaled && numerics === 'exact';
}

/** Parameters of tensors under the recipe of one candidate; weights are those of a round. */
function readerOf({ base, inputs, numHiddenLayers }: LocalInputs, recipe: Recipe): ParameterReader {
  return createParameterReader(recipe, inputs, layerPositions(base.tensors.keys(), numHiddenLayers), 1);
}

/** Undefined where candidates are served, or the rule is not linear in its coefficients. */
export function gradientSource({ local }: OpenedStudy, coefficients: readonly number[]): GradientSource | undefined {
  if (local === undefined || !isPlainSum(local.recipe)) return undefined;
  const { recipe, dimensions, base, inputs, numHiddenLayers } = local;
  const positions = layerPositions(base.tensors.keys(), numHiddenLayers);
  // Weights of zero would make it the recipe of the base alone, which has no lambda.
  const scaling = candidateRecipe(
    recipe,
    dimensions,
    coefficients.map((value, index) => (dimensions[index]?.contributor === undefined ? value : 1)),
  );
  const kernels = compileKernels().then(instantiateKernels);
  kernels.catch(() => undefined);

  /** Factor of one recipe x sum of weights of another x task vectors; undefined where weights are divided by their sum. */
  async function vectorOf(weights: Recipe, factor: Recipe, name: string): Promise<Float32Array | undefined> {
    const ofBase = base.tensors.get(name);
    if (ofBase === undefined || !isMergeDType(ofBase.dtype)) return undefined;
    const factors = readerOf(local as LocalInputs, factor)({ name });
    if (factors.global('normalize') !== 0) return undefined;
    const lambda = lambdaOf(factor, factors, name, positions(name), inputs.length);
    const values = readerOf(local as LocalInputs, weights)({ name });
    const ready = await kernels;
    const own = readValues(ready, ofBase);
    const sum = new Float64Array(own.length);
    inputs.forEach((input, index) => {
      const coefficient = lambda * values.model('weight', index);
      const tensor = input.tensors.get(name);
      if (coefficient === 0 || tensor === undefined || isUnchanged(tensor, ofBase)) return;
      const taken = holdsWeights(input, tensor) ? own : undefined;
      readValues(ready, tensor).forEach((value, i) => {
        sum[i] = (sum[i] ?? 0) + coefficient * (value - (taken?.[i] ?? 0));
      });
    });
    return Float32Array.from(sum);
  }

  return {
    dimensions: dimensions.length,
    async derivative(dimension, tensor) {
      const one = dimensions[dimension];
      if (one === undefined) return undefined;
      if (one.contributor !== undefined) {
        // Weights are linear in each coordinate: the derivative is what the coordinate adds when it is 1 and the others are 0.
        const alone = dimensions.map((_, index) => (index === dimension ? 1 : 0));
        return vectorOf(candidateRecipe(recipe, dimensions, alone), scaling, tensor);
      }
      if (one.name !== 'lambda' || !recipe.rule.post.includes('scale')) return undefined;
      const atOne = { ...scaling, parameters: new Map([...scaling.parameters, ['lambda', [{ value: 1 }]]]) };
      return vectorOf(candidateRecipe(recipe, dimensions, coefficients), atOne, tensor);
    },
  };
}
