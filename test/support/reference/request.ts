/** Reading a request: parameters with their defaults, task vectors, and the way back from a merged vector V to weights. */
import { rounder } from './consensus.js';
import type { ReferenceRequest, ReferenceRule } from './types.js';
import { globally, minus, perTensor, plus, type ReferenceModel, scaled, type Vector, zeros } from './vectors.js';

export function numberFrom(request: ReferenceRequest, name: string, fallback: number): number {
  return Number(request.parameters?.[name] ?? fallback);
}

/** The first word is the default. */
export function wordFrom<const Words extends readonly [string, ...string[]]>(
  request: ReferenceRequest,
  name: string,
  words: Words,
): Words[number] {
  const given = request.parameters?.[name];
  return words.find((word) => word === given) ?? words[0];
}

export function flagFrom(request: ReferenceRequest, name: string, fallback: boolean): boolean {
  return Boolean(request.parameters?.[name] ?? fallback);
}

/** As it is loaded: in the dtype of the arithmetic. */
function loaded(model: ReferenceModel, { arithmetic }: ReferenceRequest): ReferenceModel {
  const round = rounder(arithmetic);
  return new Map([...model].map(([name, { shape, values }]) => [name, { shape, values: values.map(round) }]));
}

function baseOf(request: ReferenceRequest): ReferenceModel {
  if (request.base === undefined) throw new Error('the rule needs a base');
  return loaded(request.base, request);
}

export const modelsOf = (request: ReferenceRequest): ReferenceModel[] => request.inputs.map((input) => loaded(input.tensors, request));
export const weightsOf = (request: ReferenceRequest): number[] => request.inputs.map((input) => input.weight ?? 1);

/** x_i - base */
export function tausOf(request: ReferenceRequest): ReferenceModel[] {
  const base = baseOf(request);
  const round = rounder(request.arithmetic);
  return modelsOf(request).map((model) => perTensor([model, base], ([x = zeros(0), from = zeros(0)]) => minus(x, from).map(round)));
}

/** base + lambda V; lambda enters rounded arithmetic as an f32 number. */
export function onBase(request: ReferenceRequest, merged: ReferenceModel): ReferenceModel {
  const given = numberFrom(request, 'lambda', 1);
  const lambda = request.arithmetic === undefined ? given : Math.fround(given);
  const round = rounder(request.arithmetic);
  const times = (v: Vector): Vector => (lambda === 1 ? v : scaled(v, lambda).map(round));
  return perTensor([baseOf(request), merged], ([base = zeros(0), v = zeros(0)]) => plus(base, times(v)).map(round));
}

/** A rule of task vectors, tensor by tensor. */
export function ofTensors(
  rule: (taus: readonly Vector[], request: ReferenceRequest, shape: readonly number[], name: string) => Vector,
): ReferenceRule {
  return (request) =>
    onBase(
      request,
      perTensor(tausOf(request), (taus, shape, name) => rule(taus, request, shape, name)),
    );
}

/** A rule of task vectors, all tensors as one. */
export function ofWhole(rule: (taus: readonly Vector[], request: ReferenceRequest) => Vector): ReferenceRule {
  return (request) =>
    onBase(
      request,
      globally(tausOf(request), (taus) => rule(taus, request)),
    );
}
