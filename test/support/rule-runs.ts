/** One random merge by a rule: as checkpoints for the engine, and as a request to the reference; and what it means that both agree. */
import fc from 'fast-check';
import type { OfflineCase, OfflineModel } from './offline-merge.js';
import { type Kind, type RandomModels, randomModels, stream, toReference } from './random-models.js';
import { type Difference, differences, type Found, perturbed } from './reference/compare.js';
import { type ReferenceRuleName, referenceMerge } from './reference/rules.js';
import type { ReferenceInput, ReferenceRequest } from './reference/types.js';
import type { ReferenceModel } from './reference/vectors.js';
import type { Beside, Parameters, RuleCase } from './rule-cases.js';

export interface Run {
  readonly kind: Kind;
  readonly models: RandomModels;
  readonly parameters: Parameters;
  readonly beside: readonly Beside[];
  readonly facts: readonly number[];
}

export function randomRun(rule: RuleCase, kind: Kind): fc.Arbitrary<Run> {
  return fc
    .integer({ min: rule.counts[0], max: rule.counts[1] })
    .chain((count) =>
      fc.record({
        kind: fc.constant(kind),
        models: randomModels({ kind, count }),
        parameters: rule.parameters,
        beside: fc.array(rule.beside ?? fc.constant<Beside>({}), { minLength: count, maxLength: count }),
        facts: fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: count, maxLength: count }),
      }),
    )
    .filter(({ beside }) => Math.abs(beside.reduce((sum, one) => sum + (one['weight'] ?? 1), 0)) > 0.2);
}

/** The models in another order. */
export function reordered(run: Run, order: readonly number[]): Run {
  const pick = <Item>(items: readonly Item[]): Item[] => order.flatMap((index) => items[index] ?? []);
  const models = { ...run.models, models: pick(run.models.models) };
  return { ...run, models, beside: pick(run.beside), facts: pick(run.facts) };
}

export function toCase(rule: RuleCase, run: Run): OfflineCase {
  const models = run.models.models.map(
    (tensors, index): OfflineModel => ({
      tensors,
      parameters: run.beside[index],
      ...(rule.facts === undefined ? {} : { [rule.facts]: run.facts[index] }),
    }),
  );
  const base = rule.base ? { base: run.models.base } : {};
  return { recipe: `merge_method: ${rule.rule}`, parameters: run.parameters, models, ...base };
}

/** Layer l of L at l / (L - 1). */
const depth = (name: string): number | undefined => (name.startsWith('layers.') ? Number(name.split('.')[1]) : undefined);

export function toRequest(rule: RuleCase, run: Run): ReferenceRequest {
  const inputs = run.models.models.map(
    (model, index): ReferenceInput => ({
      name: `model ${index}`,
      tensors: toReference(model),
      ...run.beside[index],
      ...(rule.facts === undefined ? {} : { [rule.facts]: run.facts[index] ?? 1 }),
    }),
  );
  return { inputs, parameters: run.parameters, depth, ...(rule.base ? { base: toReference(run.models.base) } : {}) };
}

/** Weights, lambda and the number of models multiply an error as they multiply the value. */
function amplification(rule: RuleCase, request: ReferenceRequest): number {
  const weights = request.inputs.reduce((sum, { weight = 1 }) => sum + Math.abs(weight), 0);
  return rule.amplify * Math.max(request.inputs.length, weights) * Math.max(1, Number(request.parameters?.['lambda'] ?? 1));
}

const PERTURBATIONS = 12;

/** Results of the reference on numbers that are as far off as arithmetic may be. */
function* nearby(name: ReferenceRuleName, request: ReferenceRequest): Generator<ReferenceModel> {
  for (let seed = 0; seed < PERTURBATIONS; seed++) {
    const next = stream(seed);
    const inputs = request.inputs.map((input) => ({ ...input, tensors: perturbed(input.tensors, 2 ** -21, next) }));
    yield referenceMerge(name, { ...request, inputs });
  }
}

/**
 * Elements of the merged folder that the reference does not allow. Where the rule chooses by inexact numbers an element may have the value
 * that the other choice would have given.
 */
export function disagreements(rule: RuleCase, request: ReferenceRequest, expected: ReferenceModel, found: Found, kind: Kind): Difference[] {
  const operands = [...request.inputs.map((input) => input.tensors), ...(request.base === undefined ? [] : [request.base])];
  const amplify = amplification(rule, request);
  let open = differences(found, expected, operands, amplify);
  if (open.length === 0 || (kind === 'grid' && rule.chooses !== true)) return open;
  for (const other of nearby(rule.rule, request)) {
    const loose = differences(found, other, operands, amplify, 2 ** -18);
    open = open.filter(({ tensor, index }) => loose.some((one) => one.tensor === tensor && one.index === index));
    if (open.length === 0) break;
  }
  return open;
}
