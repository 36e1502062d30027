/** Turns a plan whose numbers are still to be measured into one that can be carried out: coefficients from products of vectors. */
import { isMergeDType } from '../formats/tensor.js';
import { DTYPE_CODE } from '../kernels/kernels.js';
import type { TensorTask } from '../workers/program-job.js';
import type { Finding } from '../workers/protocol.js';
import { compilePart, layOutTiles } from './compile-job.js';
import { measureProducts, toGram } from './measure-model.js';
import { planSum, type SumSpec, solveTensor, valueMode } from './plan-sum.js';
import type { TensorProgram } from './program.js';
import { clipFactors, needsPairs, solveModel } from './robust.js';
import type { LookEnvironment } from './run-looks.js';
import type { MergePlan, PendingSum, PlannedTensor } from './types.js';
import { isUnchanged } from './unchanged.js';

/** Of programs that only serve to measure: no stages, whatever the combination. */
function measuringProgram(precision: 32 | 64, cast?: number): TensorProgram {
  return {
    precision,
    cast,
    rounding: DTYPE_CODE.F32,
    quirks: false,
    columns: 1,
    stages: [],
    combine: { kind: 'sum', weights: [], normalize: false },
    lambda: 1,
    plusBase: false,
  };
}

/** The tensor as vectors to measure: all terms of its sum, or all inputs of its program. */
function toMeasure(tensor: PlannedTensor, of: SumSpec['of']): PlannedTensor {
  const precision = tensor.dtype === 'F32' ? 64 : 32;
  const { pending, base } = tensor;
  if (pending === undefined) {
    const full = tensor.program?.plusBase === true || tensor.vectorOnly === true ? 'minusBase' : 'plain';
    const uses =
      of === 'weights' && base !== undefined ? tensor.uses.map((use) => ({ ...use, mode: valueMode(of, use.mode === full) })) : tensor.uses;
    return { ...tensor, program: measuringProgram(precision), uses };
  }
  const uses = pending.spec.terms.map(({ input, tensor: one, full }) => ({
    input,
    tensor: one,
    mode: valueMode(of, full),
    coefficient: 1,
  }));
  const needsBase = uses.some((use) => use.mode !== 'plain');
  const program = measuringProgram(pending.cast === undefined ? precision : 32, pending.cast);
  return { ...tensor, program, uses, base: needsBase ? pending.spec.base : undefined, pending: undefined };
}

interface Products {
  readonly findings: readonly Finding[];
  /** By number of the tensor among those measured. */
  readonly products: readonly Float64Array[];
}

async function measure(
  environment: LookEnvironment,
  tensors: readonly PlannedTensor[],
  firstTiles: readonly number[],
  of: (tensor: PlannedTensor) => SumSpec['of'],
  pairs: boolean,
): Promise<Products> {
  const measuring = tensors.map((tensor) => toMeasure(tensor, of(tensor)));
  const layout = layOutTiles(measuring, 0);
  const part = compilePart(measuring, 0, layout, environment.pathOf);
  const tasks = part.tasks.flatMap((task, index): TensorTask[] =>
    task === undefined ? [] : [{ ...task, tile: firstTiles[index] ?? task.tile }],
  );
  const { findings, value } = await measureProducts(environment, part, tasks, pairs);
  return { findings, products: value ?? [] };
}

function finished(tensor: PlannedTensor, spec: SumSpec): PlannedTensor {
  if (!isMergeDType(tensor.dtype)) return tensor;
  const cast = tensor.pending?.cast;
  const sum = planSum(spec, tensor.dtype, tensor.name);
  if (cast === undefined) return { ...tensor, ...sum, pending: undefined };
  const program: TensorProgram = {
    ...measuringProgram(32, cast),
    combine: { kind: 'sum', weights: sum.uses.map(({ coefficient }) => coefficient / sum.divisor), normalize: false },
    lambda: sum.lambda,
    plusBase: sum.plusBase,
  };
  return { ...tensor, ...sum, program, pending: undefined };
}

/** The same tensor with its coefficients multiplied, or with its vectors clipped. */
function withCoefficients(tensor: PlannedTensor, rule: 'scale' | 'clip', coefficients: readonly number[]): PlannedTensor {
  const of = (input: number): number => coefficients[input] ?? 1;
  const { pending, program } = tensor;
  if (pending !== undefined) {
    const spec = {
      ...pending.spec,
      terms: pending.spec.terms.map((term) => ({ ...term, coefficient: term.coefficient * of(term.input) })),
    };
    return pending.rule === undefined ? finished(tensor, spec) : { ...tensor, pending: { ...pending, spec } };
  }
  if (program === undefined) return tensor;
  const factors = tensor.uses.map((use) => of(use.input));
  if (rule === 'clip')
    return {
      ...tensor,
      program: { ...program, stages: program.stages.map((stage) => (stage.kind === 'scale' ? { ...stage, factors } : stage)) },
    };
  const { combine } = program;
  if (combine.kind !== 'sum' && combine.kind !== 'consensus') return tensor;
  return {
    ...tensor,
    program: { ...program, combine: { ...combine, weights: combine.weights.map((one, index) => one * (factors[index] ?? 1)) } },
  };
}

export interface MeasuredTensors {
  readonly findings: readonly Finding[];
  readonly tensors: readonly PlannedTensor[];
}

const isMeasurable = (tensor: PlannedTensor): boolean =>
  tensor.action === 'merge' && (tensor.pending !== undefined || tensor.program !== undefined);

/** A sum of tensors that are all the base's own: every product of its vectors is zero. */
const isStill = ({ pending }: PlannedTensor): boolean =>
  pending !== undefined && pending.spec.terms.every(({ full, tensor }) => full && isUnchanged(tensor, pending.spec.base));

/** What follows from all tensors together. */
export async function solveModelWide(
  environment: LookEnvironment,
  plan: MergePlan,
  firstTiles: readonly number[],
): Promise<MeasuredTensors> {
  const { model, tensors } = plan;
  if (model === undefined) return { findings: [], tensors };
  const n = plan.inputNames.length;
  const chosen = tensors.flatMap((tensor, index) =>
    isMeasurable(tensor) && !(model.of === 'task_vectors' && isStill(tensor)) ? [{ tensor, tile: firstTiles[index] ?? 0 }] : [],
  );
  const pairs = needsPairs(model.rule);
  const { findings, products } = await measure(
    environment,
    chosen.map(({ tensor }) => tensor),
    chosen.map(({ tile }) => tile),
    () => model.of,
    pairs,
  );
  if (findings.length > 0) return { findings, tensors };
  const total = new Float64Array(pairs ? (n * (n + 1)) / 2 : n);
  for (const one of products) one.forEach((value, at) => (total[at] = (total[at] ?? 0) + value));
  const gram = toGram(total, n, pairs);
  const coefficients =
    model.clip === true && model.rule.kind === 'cclip' ? clipFactors(gram, model.rule.rho) : solveModel(model.rule, gram, plan.inputNames);
  const how = model.clip === true ? 'clip' : 'scale';
  return { findings, tensors: tensors.map((tensor) => withCoefficients(tensor, how, coefficients)) };
}

/** What follows from each tensor by itself. */
export async function solveTensors(
  environment: LookEnvironment,
  tensors: readonly PlannedTensor[],
  firstTiles: readonly number[],
  inputNames: readonly string[],
): Promise<MeasuredTensors> {
  const chosen = tensors.flatMap((tensor, index): { tensor: PlannedTensor; pending: PendingSum; index: number }[] =>
    tensor.pending === undefined ? [] : [{ tensor, pending: tensor.pending, index }],
  );
  if (chosen.length === 0) return { findings: [], tensors };
  const pairs = chosen.some(({ pending }) => pending.rule?.kind !== 'nan');
  const { findings, products } = await measure(
    environment,
    chosen.map(({ tensor }) => tensor),
    chosen.map(({ index }) => firstTiles[index] ?? 0),
    (tensor) => tensor.pending?.measures ?? tensor.pending?.spec.of ?? 'weights',
    pairs,
  );
  if (findings.length > 0) return { findings, tensors };
  const solved = [...tensors];
  chosen.forEach(({ tensor, pending, index }, at) => {
    const gram = toGram(products[at] ?? [], pending.spec.terms.length, pairs);
    const spec =
      pending.rule === undefined
        ? pending.spec
        : solveTensor(
            pending.rule,
            pending.spec,
            gram,
            tensor.name,
            pending.spec.terms.map(({ input }) => inputNames[input] ?? ''),
          );
    solved[index] = finished(tensor, spec);
  });
  return { findings, tensors: solved };
}
