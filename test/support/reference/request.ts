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

function baseOf({ base }: ReferenceRequest): ReferenceModel {
  if (base === undefined) throw new Error('the rule needs a base');
  return base;
}

export const modelsOf = (request: ReferenceRequest): ReferenceModel[] => request.inputs.map((input) => input.tensors);
export const weightsOf = (request: ReferenceRequest): number[] => request.inputs.map((input) => input.weight ?? 1);

/** x_i - base */
export function tausOf(request: ReferenceRequest): ReferenceModel[] {
  const base = baseOf(request);
  const round = rounder(request.arithmetic);
  return request.inputs.map(({ tensors }) =>
    perTensor([tensors, base], ([x = zeros(0), from = zeros(0)]) => minus(x.map(round), from).map(round)),
  );
}

/** base + lambda V */
export function onBase(request: ReferenceRequest, merged: ReferenceModel): ReferenceModel {
  const lambda = numberFrom(request, 'lambda', 1);
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
