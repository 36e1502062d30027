/** What workers found wrong, in the words of a person: which tensor of which model, and what to do. */
import { TributaryError } from '../errors/tributary-error.js';
import { BASE_USE, type Finding } from '../workers/protocol.js';
import { type TileLayout, tensorOfTile } from './compile-job.js';
import type { MergePlan } from './types.js';

/** Whether a merge has to stop; differences are judged when all is done (fatalError). */
export const isFatal = ({ kind }: Finding): boolean => kind !== 'difference' && kind !== 'emptyTask';

/** @param input its number; the base where there is none */
export function modelName(plan: Pick<MergePlan, 'baseName' | 'inputNames'>, input: number | undefined): string {
  return input === undefined || input < 0 ? (plan.baseName ?? 'the base') : (plan.inputNames[input] ?? '');
}

/** An input of a merge that cannot be merged. */
export function nonFiniteError(model: string, tensor: string, element: number | string, value: number): TributaryError {
  return new TributaryError('NON_FINITE', {
    what: `${model} holds ${value} in tensor ${tensor}`,
    where: `${model}: ${tensor}, element ${element}`,
    expected: 'finite numbers',
    got: String(value),
    fix: 'The training diverged or the file is damaged; leave this model out.',
  });
}

/** The error for the first of the findings that forbid an output, if there is one. */
export function fatalError(plan: MergePlan, layout: TileLayout, findings: readonly Finding[]): TributaryError | undefined {
  const fatal = findings
    .filter(
      (finding) =>
        finding.kind !== 'emptyTask' &&
        (finding.kind !== 'difference' || tensorOfTile(plan, layout, finding.unit)?.action === 'copyIdentical'),
    )
    .sort((a, b) => a.unit - b.unit);
  const [finding] = fatal;
  if (finding === undefined) return undefined;
  const tensor = tensorOfTile(plan, layout, finding.unit);
  const name = tensor?.name ?? '';
  switch (finding.kind) {
    case 'nonFinite': {
      const model = modelName(plan, finding.use === BASE_USE ? BASE_USE : tensor?.uses[finding.use]?.input);
      return nonFiniteError(model, name, finding.element, finding.value);
    }
    case 'overflow':
      return new TributaryError('NON_FINITE', {
        what: `the merge of tensor ${name} goes beyond what ${tensor?.dtype ?? 'its dtype'} can hold, although every input is finite`,
        where: `${name}, element ${finding.element}`,
        fix: tensor?.dtype === 'F32' ? 'Use smaller weights or lambda.' : 'Use smaller weights or lambda, or set out_dtype: float32.',
      });
    case 'emptyTask':
      return undefined;
    case 'difference': {
      const model = modelName(plan, tensor?.uses[finding.use]?.input);
      return new TributaryError('UNSUPPORTED_DTYPE', {
        what: `tensor ${name} is ${tensor?.dtype ?? ''}, which is only passed through when all models hold the same bytes`,
        where: `${model}: ${name}`,
        expected: `the bytes of ${modelName(plan, tensor?.uses[0]?.input)}`,
        got: 'other bytes',
        fix: 'Save the models as F32, F16 or BF16.',
      });
    }
  }
}

/** One warning for each integer tensor that is not the same in all models, and for each task that nothing is left of. */
export function findingWarnings(plan: MergePlan, layout: TileLayout, findings: readonly Finding[]): string[] {
  const warnings = new Set<string>();
  for (const finding of findings) {
    if (finding.kind === 'emptyTask')
      warnings.add(`the mask of ${modelName(plan, finding.use)} is empty: its own model is the base (its rescaler is 0)`);
    if (finding.kind !== 'difference') continue;
    const tensor = tensorOfTile(plan, layout, finding.unit);
    if (tensor === undefined) continue;
    warnings.add(`${tensor.name} (${tensor.dtype}) differs between models; it is taken from ${modelName(plan, tensor.uses[0]?.input)}`);
  }
  return [...warnings].sort();
}
