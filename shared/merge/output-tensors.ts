/**
 * Which tensors the output has, and of which tensors of which models each is made. Pure: from the recipe and the tensors of opened models.
 * `models` covers all layers of all models; `slices` put layers one after the other and number them anew; `modules` do either for a part.
 */
import { TributaryError } from '../errors/tributary-error.js';
import type { StoredTensor } from '../formats/tensor.js';
import { layerPositions } from '../recipe/layers.js';
import type { Parameters, Recipe, RecipeModule } from '../recipe/recipe.js';
import { alignModels } from './align-models.js';
import { named, type OutputRequest, type Part } from './merge-part.js';
import { partsOfSlices } from './slice-parts.js';

/** What one input does in one output tensor. */
export interface OutputSource {
  /** Number of the input. */
  readonly input: number;
  readonly tensor: StoredTensor;
  /** In the input's own file: filters of its parameters are held against it. */
  readonly inputName: string;
  /** Where its parameters are looked up, nearest first. */
  readonly scopes: readonly (Parameters | undefined)[];
}

export interface OutputTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** In [0, 1]: place within the layers of its slice; 0 outside of layers. */
  readonly t: number;
  /** In the order of the recipe; a model without this tensor is not among them. */
  readonly sources: readonly OutputSource[];
  readonly base?: StoredTensor | undefined;
  /** Where global parameters are looked up, nearest first. */
  readonly scopes: readonly (Parameters | undefined)[];
}

export interface OutputTensors {
  /** In the order of the output files. */
  readonly tensors: readonly OutputTensor[];
  readonly warnings: readonly string[];
  /** With slices: for each layer of the output, the layer it has in the base (or the first source). */
  readonly layersFrom?: readonly number[] | undefined;
  /** Rows of the embeddings, where they were cut. */
  readonly vocabularyRows?: number | undefined;
}

function checkCount(recipe: Recipe, part: Part): void {
  const { minModels = 1, maxModels = Infinity, baseAsModel } = recipe.description;
  const count = part.members.length;
  // A slice of the base alone is the base's own layers.
  if (count === 0 && part.ofSlices && part.base !== undefined) return;
  if (count >= minModels && count <= maxModels) return;
  const range =
    maxModels === Infinity ? `at least ${minModels}` : minModels === maxModels ? `exactly ${minModels}` : `${minModels} to ${maxModels}`;
  throw new TributaryError('RECIPE_INVALID', {
    what: `${recipe.method} takes ${range} model${minModels === 1 && maxModels === 1 ? '' : 's'}${baseAsModel ? '' : ', the base not counted'}`,
    where: recipe.fileName,
    expected: range,
    got: count === 0 ? 'none' : part.members.map(({ model }) => model.name).join(', '),
  });
}

/** The parts of a merge of whole models: one. */
function partOfModels(request: OutputRequest, keep: (name: string) => boolean, module?: RecipeModule): Part {
  const { recipe, base, inputs } = request;
  const reference = base?.tensors ?? inputs[0]?.tensors ?? new Map();
  const scopes = [...(module === undefined ? [] : [module.parameters]), recipe.parameters];
  const takesPart = (name: string): boolean =>
    module === undefined || module.models.some(({ model }) => request.models?.get(model)?.name === name);
  return {
    members: inputs.flatMap((input, index) => {
      if (!takesPart(input.name)) return [];
      const own = module?.models.find(({ model }) => request.models?.get(model)?.name === input.name)?.parameters ?? input.parameters;
      const model = { name: input.name, kind: input.kind, tensors: named(input.tensors, keep) };
      return [{ model, input: index, scopes: [recipe.contributors.get(input.name)?.parameters, own, ...scopes] }];
    }),
    base: base === undefined ? undefined : { name: base.name, kind: 'full', tensors: named(base.tensors, keep) },
    scopes,
    position: layerPositions(reference.keys(), request.numHiddenLayers),
    ofSlices: false,
  };
}

/** Whether `vision` is a part of `model.vision.layers.0.w`. */
const inModule = (name: string, module: string): boolean => `.${name}.`.includes(`.${module}.`);

/** The names that belong to a module; a single module owns all, whatever it is called. */
function moduleFilter(request: OutputRequest, module: RecipeModule): (name: string) => boolean {
  const { modules, fileName } = request.recipe;
  if (modules.length === 1) return () => true;
  const reference = request.base?.tensors ?? request.inputs[0]?.tensors ?? new Map<string, StoredTensor>();
  for (const name of reference.keys()) {
    const owners = modules.filter((one) => inModule(name, one.name));
    if (owners.length === 1) continue;
    throw new TributaryError('RECIPE_INVALID', {
      what: `${name} belongs to ${owners.length === 0 ? 'no module' : owners.map((one) => one.name).join(' and ')}`,
      where: fileName,
      expected: 'modules named by parts of the tensor names (`vision_tower` for vision_tower.layers.0.weight) that share out all tensors',
      got: modules.map((one) => one.name).join(', '),
    });
  }
  return (name) => inModule(name, module.name);
}

function partsOf(request: OutputRequest): { parts: Part[]; layersFrom?: readonly number[] } {
  const { recipe } = request;
  if (recipe.slices.length > 0) return partsOfSlices(request, recipe.slices, () => true);
  if (recipe.modules.length === 0) return { parts: [partOfModels(request, () => true)] };
  const sliced = recipe.modules.map((module) => {
    const keep = moduleFilter(request, module);
    return module.slices.length > 0
      ? partsOfSlices(request, module.slices, keep, module)
      : { parts: [partOfModels(request, keep, module)] };
  });
  const [only] = sliced;
  return { parts: sliced.flatMap((one) => one.parts), ...(sliced.length === 1 && only !== undefined ? only : {}) };
}

/** @throws RECIPE_INVALID, TENSOR_*, SHAPE_MISMATCH, DTYPE_MISMATCH, UNSUPPORTED_DTYPE */
export function outputTensors(request: OutputRequest): OutputTensors {
  const { parts, layersFrom } = partsOf(request);
  const tensors: OutputTensor[] = [];
  const warnings = new Set<string>();
  let vocabularyRows: number | undefined;
  for (const part of parts) {
    checkCount(request.recipe, part);
    const aligned = alignModels(
      part.members.map(({ model }) => model),
      part.base,
      { toBase: request.recipe.rule.of === 'task_vectors', strict: request.inRound === true },
    );
    for (const warning of aligned.warnings) warnings.add(warning);
    vocabularyRows = aligned.vocabularyRows ?? vocabularyRows;
    for (const name of aligned.names) {
      const base = part.base?.tensors.get(name)?.tensor;
      const sources: OutputSource[] = [];
      for (const { model, input, scopes } of part.members) {
        const held = model.tensors.get(name);
        if (held !== undefined) sources.push({ input, scopes, tensor: held.tensor, inputName: held.inputName });
      }
      const shape = (base ?? sources[0]?.tensor)?.shape ?? [];
      tensors.push({ name, shape, t: part.position(name), sources, base, scopes: part.scopes });
    }
  }
  return { tensors, warnings: [...warnings], layersFrom, vocabularyRows };
}
