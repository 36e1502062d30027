/**
 * The merged task vector of a recipe, tensor by tensor, as far as it is known without being written: nothing, a sum of products, or to be made.
 * What is made comes from the engine that makes models: in F32, as the vector itself where the rule is about task vectors; rules about weights
 * give weights, and the base is taken off when they are factored.
 */
import { TributaryError } from '../errors/tributary-error.js';
import { isMergeDType, readBytesOf, type StoredTensor, type TensorMap } from '../formats/tensor.js';
import { type PlanRequest, planMerge } from '../merge/plan.js';
import { layOutShards } from '../merge/shards.js';
import { totalsOf } from '../merge/totals.js';
import type { MergeBase, MergePlan, PlannedTensor } from '../merge/types.js';
import { isUnchanged } from '../merge/unchanged.js';
import type { ProductSum, VectorSources, VectorTerm } from './vector-source.js';

export interface MergeVector {
  /** Changes that are sums of products. */
  readonly products: ReadonlyMap<string, ProductSum>;
  /** Tensors whose change has to be made, in the order of the plan. */
  readonly made: readonly string[];
  /** All factors and weights that are read once, in bytes. */
  readonly readBytes: number;
  /** Makes tensors of the merge; with those that are copied, so that models that differ in them are found out. */
  planOf(names: readonly string[], withCopies: boolean): MergePlan;
  /** @param made what a plan of planOf has written */
  sourcesOf(made: TensorMap): VectorSources;
  readonly warnings: readonly string[];
}

export type VectorRequest = PlanRequest & { readonly base: MergeBase };

/** Sums of coefficients differ from 1 by less when they are meant to be 1. */
const CLOSE = 2 ** -40;

/** An adapter changes weights of the base as it is: no other layers, no masks beside it. */
function checkRecipe({ recipe, base }: VectorRequest): void {
  const refuse = (what: string, fix: string): never => {
    throw new TributaryError('RECIPE_UNSUPPORTED', { what, where: `${recipe.fileName}: output`, got: 'adapter', fix });
  };
  if (recipe.slices.length > 0 || recipe.modules.some(({ slices }) => slices.length > 0))
    refuse('a model made of slices has other layers than its base, which no adapter can say', 'Take slices out, or output: model.');
  if (recipe.description.perTask === true)
    refuse(`${recipe.method} makes a model for each task, which needs masks beside the model`, 'Use output: model.');
  const computed = [...base.tensors.values()].find(({ sum, product }) => sum !== undefined || product !== undefined);
  if (computed !== undefined)
    refuse(
      'the base is a model with an adapter on it, and an adapter of ours would need both',
      'Merge base and adapter into a model first.',
    );
}

function checkLikeBase({ recipe, base }: VectorRequest, { tensors }: MergePlan): void {
  const other = tensors.find(({ name, shape }) => base.tensors.get(name)?.shape.join() !== shape.join());
  if (other === undefined) return;
  throw new TributaryError('RECIPE_UNSUPPORTED', {
    what: 'the merged model has other tensors than the base, which no adapter can say',
    where: `${recipe.fileName}: output`,
    expected: `[${base.tensors.get(other.name)?.shape.join(', ') ?? 'no such tensor'}], as in ${base.name}`,
    got: `${other.name} [${other.shape.join(', ')}]`,
    fix: 'Use output: model.',
  });
}

interface Known {
  /** Undefined: it has to be made. */
  readonly terms: readonly VectorTerm[] | undefined;
}

const MADE: Known = { terms: undefined };
const ZERO: Known = { terms: [] };

/** A plan that takes the base as it is. */
const isBase = ({ uses, plusBase, program, pending }: PlannedTensor): boolean =>
  program === undefined && pending === undefined && !plusBase && uses.every(({ input }) => input === -1) && uses[0]?.coefficient === 1;

/** Coefficients are measured, but all vectors are zero. */
const isStill = ({ pending }: PlannedTensor, base: StoredTensor): boolean =>
  pending?.spec.of === 'task_vectors' && pending.spec.terms.every(({ full, tensor }) => full && isUnchanged(tensor, base));

function knownOf(planned: PlannedTensor, base: StoredTensor, models: readonly string[], ofWeights: boolean): Known {
  const { program, pending, derivation, uses } = planned;
  if (program !== undefined || pending !== undefined) return MADE;
  const factor = planned.lambda / planned.divisor;
  const terms: VectorTerm[] = [];
  if (derivation !== undefined) {
    if (derivation.combine.kind !== 'sum') return MADE;
    const scale = (uses[0]?.coefficient ?? 0) * factor;
    for (const { input, tensor, difference, eta, weight } of derivation.inputs) {
      if (tensor.product !== undefined) terms.push({ model: models[input] ?? '', tensor, weight: weight * scale, eta });
      else if (difference || !isUnchanged(tensor, base)) return MADE;
    }
  } else {
    for (const { input, tensor, mode, coefficient } of uses) {
      const weight = coefficient * factor;
      if (tensor.product !== undefined && mode === (ofWeights ? 'plusBase' : 'plain'))
        terms.push({ model: models[input] ?? '', tensor, weight });
      else if (mode !== (ofWeights ? 'plain' : 'minusBase') || !isUnchanged(tensor, base)) return MADE;
    }
    // Of weights the base remains by as much as the coefficients miss 1.
    const sum = uses.reduce((all, { coefficient }) => all + coefficient * factor, 0);
    if (ofWeights && Math.abs(sum - 1) > CLOSE) return MADE;
  }
  return { terms: terms.filter(({ weight }) => weight !== 0) };
}

/** @throws RECIPE_UNSUPPORTED for what an adapter cannot say, and what planMerge throws */
export function mergeVector(request: VectorRequest): MergeVector {
  checkRecipe(request);
  const { recipe, base } = request;
  const ofWeights = recipe.rule.of === 'weights';
  const whole = planMerge({ ...request, recipe: { ...recipe, outDtype: 'F32' } });
  checkLikeBase(request, whole);
  const plan = ofWeights ? whole : planMerge({ ...request, vectorOnly: true });
  const unchanged = new Set(whole.tensors.filter(isBase).map(({ name }) => name));
  const products = new Map<string, ProductSum>();
  const made: string[] = [];
  for (const planned of plan.tensors) {
    const { name, action, sizeBytes } = planned;
    const from = base.tensors.get(name);
    if (from === undefined || action !== 'merge' || sizeBytes === 0) continue;
    const still = plan.model?.of !== 'weights' && isStill(planned, from);
    const { terms } = unchanged.has(name) || still ? ZERO : knownOf(planned, from, plan.inputNames, ofWeights);
    if (terms === undefined) made.push(name);
    else if (terms.length > 0) products.set(name, { kind: 'products', terms });
  }
  const planOf = (names: readonly string[], withCopies: boolean): MergePlan => {
    const wanted = new Set(names);
    const copies = whole.tensors.filter(({ action, uses }) => withCopies && action !== 'merge' && uses.length > 1);
    const layout = layOutShards([...plan.tensors.filter(({ name }) => wanted.has(name)), ...copies], Infinity);
    return { ...plan, ...layout, warnings: [], totals: totalsOf({ ...layout, model: plan.model }) };
  };
  const factors = [...products.values()].flatMap(({ terms }) => terms);
  return {
    products,
    made,
    readBytes: factors.reduce((sum, { tensor }) => sum + readBytesOf(tensor), planOf(made, true).totals.readBytes),
    planOf,
    sourcesOf: (tensors) =>
      new Map(
        [...tensors].flatMap(([name, tensor]) =>
          isMergeDType(tensor.dtype) && isMergeDType(base.tensors.get(name)?.dtype ?? 'U8')
            ? [[name, { kind: 'stored', model: recipe.method, tensor, difference: !ofWeights }] as const]
            : [],
        ),
      ),
    warnings: whole.warnings,
  };
}
