/** Whether a model fits a reference (the base, or the first model of a merge without base): names, shapes and kinds of numbers. */
import type { ErrorCode } from '../errors/catalogue.js';
import { TributaryError } from '../errors/tributary-error.js';
import { isFloatDType, isMergeDType, type TensorInfo } from '../formats/tensor.js';
import type { ContributionKind } from './types.js';

export interface ComparedModel {
  readonly name: string;
  readonly kind: ContributionKind;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

interface Problem {
  readonly tensor: string;
  readonly expected: string;
  readonly got: string;
}

/** Problems listed in a message; the count of all is always told. */
const LISTED = 5;

function report(code: ErrorCode, what: string, model: ComparedModel, problems: readonly Problem[], fix?: string): void {
  const [first] = problems;
  if (first === undefined) return;
  const others = problems.slice(1, LISTED).map((problem) => problem.tensor);
  const more = problems.length - 1 - others.length;
  const list = others.length === 0 ? '' : ` (also ${others.join(', ')}${more > 0 ? ` and ${more} more` : ''})`;
  throw new TributaryError(code, {
    what: `${what}${list}`,
    where: `${model.name}: ${first.tensor}`,
    expected: first.expected,
    got: first.got,
    fix,
  });
}

const describe = (tensor: TensorInfo): string => `${tensor.dtype} [${tensor.shape.join(', ')}]`;

function sameShape(a: TensorInfo, b: TensorInfo): boolean {
  return a.shape.length === b.shape.length && a.shape.every((size, index) => size === b.shape[index]);
}

/** @throws TENSOR_MISSING, TENSOR_EXTRA, SHAPE_MISMATCH, DTYPE_MISMATCH, UNSUPPORTED_DTYPE: the first kind of problem that there is */
export function checkCompatibility(
  reference: { readonly name: string; readonly tensors: ReadonlyMap<string, TensorInfo> },
  model: ComparedModel,
): void {
  const missing: Problem[] = [];
  const shapes: Problem[] = [];
  const dtypes: Problem[] = [];
  const unsupported: Problem[] = [];
  for (const [name, wanted] of reference.tensors) {
    const tensor = model.tensors.get(name);
    if (tensor === undefined) {
      // A delta has nothing to say about counters and tables.
      if (model.kind === 'full' || isMergeDType(wanted.dtype))
        missing.push({ tensor: name, expected: `${describe(wanted)} as in ${reference.name}`, got: 'nothing' });
      continue;
    }
    const fits = sameShape(tensor, wanted);
    if (fits && (tensor.dtype === wanted.dtype || (isMergeDType(tensor.dtype) && isMergeDType(wanted.dtype)))) continue;
    const problem = { tensor: name, expected: `${describe(wanted)} as in ${reference.name}`, got: describe(tensor) };
    if (!fits) shapes.push(problem);
    else if (isFloatDType(tensor.dtype) !== isFloatDType(wanted.dtype)) dtypes.push(problem);
    else (isFloatDType(wanted.dtype) ? unsupported : dtypes).push(problem);
  }
  const extra: Problem[] = [];
  for (const [name, tensor] of model.tensors) {
    if (!reference.tensors.has(name))
      extra.push({ tensor: name, expected: `no tensor of this name, as in ${reference.name}`, got: describe(tensor) });
  }
  report(
    'TENSOR_MISSING',
    'a tensor is missing',
    model,
    missing,
    'All models must have the same architecture; a tied lm_head must be saved in all or in none.',
  );
  report(
    'TENSOR_EXTRA',
    'a tensor has no counterpart',
    model,
    extra,
    'All models must have the same architecture; an adapter or a new head cannot be merged.',
  );
  report(
    'SHAPE_MISMATCH',
    'a tensor has another shape',
    model,
    shapes,
    'A resized vocabulary is the usual cause: give all models the same one.',
  );
  report('DTYPE_MISMATCH', 'a tensor holds another kind of numbers', model, dtypes);
  report('UNSUPPORTED_DTYPE', 'a tensor has a dtype without merge arithmetic', model, unsupported, 'Save the model as F32, F16 or BF16.');
}
