/**
 * A rule with a server optimiser is three merges, each an ordinary one with a plan, a journal and an output that appears whole: the merged task
 * vector Delta of the contributions (whatever the rule), the new moments from Delta and the old ones, and the model from base and moments.
 *
 *   momentum: m <- momentum m + Delta;                      base + server_lr m              (Hsu et al., arXiv 1909.06335)
 *   adam:     m <- b1 m + (1 - b1) Delta, v <- b2 v + (1 - b2) Delta^2;
 *   yogi:     m as adam, v <- v - (1 - b2) Delta^2 sign(v - Delta^2);
 *             base + server_lr m / (sqrt(v) + tau)                                          (Reddi et al., arXiv 2003.00295)
 * Moments begin at zero and are not corrected for it. Post steps in front of `server` are part of Delta, those behind it scale the step.
 */
import { TributaryError } from '../errors/tributary-error.js';
import { elementCount } from '../formats/safetensors-header.js';
import { isMergeDType, type StoredTensor, type TensorMap } from '../formats/tensor.js';
import { createParameterReader, type ParameterValues } from '../recipe/evaluate.js';
import { layerPositions } from '../recipe/layers.js';
import type { PostStep, Recipe } from '../recipe/recipe.js';
import { lambdaOf, linesOf } from './plan-model.js';
import { type Merged, planSum } from './plan-sum.js';
import type { TensorProgram } from './program.js';
import { MOMENTS, momentName, momentOf, type ServerOptimizer, type ServerState, stateMetadata } from './server-state.js';
import { layOutShards, type UnplacedTensor } from './shards.js';
import { totalsOf } from './totals.js';
import type { MergePlan, PlannedTensor, PlannedUse } from './types.js';

export interface ServerRule {
  readonly optimizer: ServerOptimizer;
  /** What Delta is merged with. */
  readonly delta: Recipe;
  /** What the step is scaled with. */
  readonly step: Recipe;
}

const withPost = (recipe: Recipe, post: readonly PostStep[]): Recipe => ({ ...recipe, rule: { ...recipe.rule, post } });

/** Undefined for rules without a server optimiser. */
export function serverRuleOf(recipe: Recipe): ServerRule | undefined {
  const { post } = recipe.rule;
  const at = post.indexOf('server');
  if (at < 0) return undefined;
  const word = recipe.options.get('optimizer');
  return {
    optimizer: word === 'adam' || word === 'yogi' ? word : 'momentum',
    delta: withPost(recipe, post.slice(0, at)),
    step: withPost(recipe, post.slice(at + 1)),
  };
}

type Reader = (tensor: string) => { readonly values: ParameterValues; readonly t: number };

function readerOf({ step }: ServerRule, plan: MergePlan, numHiddenLayers: number | undefined): Reader {
  const position = layerPositions(
    plan.tensors.map(({ name }) => name),
    numHiddenLayers,
  );
  const read = createParameterReader(step, [], position);
  return (name) => ({ values: read({ name }), t: position(name) });
}

export interface ServerPlanRequest {
  readonly rule: ServerRule;
  /** Of the whole model, as it would be without the optimiser: names, dtypes, places in the files. */
  readonly plan: MergePlan;
  readonly numHiddenLayers?: number | undefined;
}

const isStepped = ({ action, dtype, shape }: PlannedTensor): boolean =>
  action === 'merge' && isMergeDType(dtype) && elementCount(shape) !== 0;

const plain = (input: number, tensor: StoredTensor): PlannedUse => ({ input, tensor, mode: 'plain', coefficient: 1 });

function programOf(precision: 32 | 64, columns: number, rest: Pick<TensorProgram, 'combine' | 'lambda' | 'plusBase'>): TensorProgram {
  return { precision, rounding: 0, quirks: false, columns, stages: [], ...rest };
}

function firstMoment(rule: ServerRule, values: ParameterValues, delta: StoredTensor, old: StoredTensor | undefined): Merged {
  const momentum = rule.optimizer === 'momentum';
  const kept = momentum ? values.global('momentum') : values.global('beta1');
  const terms = [
    { input: 0, tensor: delta, full: true, coefficient: momentum ? 1 : 1 - kept },
    ...(old === undefined ? [] : [{ input: 1, tensor: old, full: true, coefficient: kept }]),
  ];
  return planSum({ of: 'weights', terms, normalize: false, lambda: 1 }, 'F32', delta.name);
}

/**
 * The new moments.
 * @param delta the merged task vector, in F32
 * @param old the moments so far; undefined: zero
 */
export function planMoments(request: ServerPlanRequest, delta: TensorMap, old: ServerState | undefined): MergePlan {
  const { rule, plan, numHiddenLayers } = request;
  const read = readerOf(rule, plan, numHiddenLayers);
  const unplaced = plan.tensors.filter(isStepped).flatMap((tensor): UnplacedTensor[] => {
    const vector = delta.get(tensor.name);
    if (vector === undefined) return [];
    const { shape } = tensor;
    const { values } = read(tensor.name);
    return MOMENTS[rule.optimizer].map((moment): UnplacedTensor => {
      const before = old === undefined ? undefined : momentOf(old.tensors, moment, tensor);
      const common = { name: momentName(moment, tensor.name), dtype: 'F32', shape, action: 'merge' } as const;
      if (moment === 'm') return { ...common, ...firstMoment(rule, values, vector, before) };
      const combine = { kind: 'second_moment', beta2: values.global('beta2'), yogi: rule.optimizer === 'yogi' } as const;
      return {
        ...common,
        uses: [plain(0, vector), ...(before === undefined ? [] : [plain(1, before)])],
        divisor: 1,
        lambda: 1,
        plusBase: false,
        program: programOf(64, elementCount(shape) ?? 0, { combine, lambda: 1, plusBase: false }),
      };
    });
  });
  const layout = layOutShards(unplaced, Infinity, stateMetadata(rule.optimizer, (old?.rounds ?? 0) + 1));
  return {
    inputNames: ['the merged task vector', 'the server state'],
    ...layout,
    warnings: [],
    totals: totalsOf({ ...layout, model: undefined }),
    dtype: 'F32',
  };
}

/** The model: base plus the step that the moments make. */
export function planStep(request: ServerPlanRequest, base: TensorMap, moments: TensorMap): MergePlan {
  const { rule, plan, numHiddenLayers } = request;
  const read = readerOf(rule, plan, numHiddenLayers);
  const input = plan.inputNames.length;
  const tensors = plan.tensors.map((tensor): PlannedTensor => {
    const { name, dtype, shape, shard, offset, sizeBytes, action } = tensor;
    const from = base.get(name);
    if (!isStepped(tensor) || !isMergeDType(dtype) || from === undefined) return tensor;
    const { values, t } = read(name);
    const lambda = lambdaOf(rule.step, values, name, t, plan.inputNames.length);
    if (linesOf(rule.step, values, name, t, plan.inputNames.length) !== undefined)
      throw new TributaryError('RECIPE_INVALID', {
        what: 'behind server there is no sum that alpha of lines could be measured of',
        where: rule.step.fileName,
        expected: 'alpha: a number, or lines in front of server',
      });
    const rate = values.global('server_lr');
    const placed = { name, dtype, shape, shard, offset, sizeBytes, action };
    const m = momentOf(moments, 'm', tensor);
    if (rule.optimizer === 'momentum') {
      const terms = [{ input, tensor: m, full: false, coefficient: rate }];
      return { ...placed, ...planSum({ of: 'task_vectors', terms, base: from, normalize: false, lambda }, dtype, name) };
    }
    const combine = { kind: 'adaptive', tau: values.global('tau') } as const;
    const program = programOf(dtype === 'F32' ? 64 : 32, elementCount(shape) ?? 0, { combine, lambda: rate * lambda, plusBase: true });
    const uses = [plain(input, m), plain(input, momentOf(moments, 'v', tensor))];
    return { ...placed, uses, base: from, divisor: 1, lambda: program.lambda, plusBase: true, program };
  });
  const stepped = { ...plan, inputNames: [...plan.inputNames, 'the server state'], tensors, model: undefined };
  return { ...stepped, totals: totalsOf(stepped) };
}
