/** The task-vector family of mergekit's registry: sparsify every task vector, bring its size back, combine. */
import { familyCombine, rounder } from './consensus.js';
import { flagFrom, numberFrom, ofTensors, weightsOf } from './request.js';
import { applyMask, breadcrumbs, dellaProbabilities, rescaleL1, trim } from './selection.js';
import type { ReferenceInput, ReferenceRequest, ReferenceRule } from './types.js';
import { at, scaled, type Vector, zeros } from './vectors.js';

interface Family {
  readonly sparsify: 'nothing' | 'magnitude' | 'outliers' | 'drop' | 'della';
  readonly consensus: boolean;
  readonly normalize: boolean;
  readonly rescale: boolean;
}

interface Contribution {
  readonly delta: Vector;
  readonly shape: readonly number[];
  readonly name: string;
  readonly input: ReferenceInput;
  readonly request: ReferenceRequest;
}

function setting({ input, request }: Contribution, name: 'density' | 'gamma' | 'epsilon', fallback: number): number {
  return input[name] ?? numberFrom(request, name, fallback);
}

function sparsify({ sparsify: how }: Family, one: Contribution): Vector {
  const { delta, input, name, request } = one;
  const density = setting(one, 'density', 1);
  switch (how) {
    case 'nothing':
      return delta;
    case 'magnitude':
      return trim(delta, density, request.quirks);
    case 'outliers':
      return breadcrumbs(delta, density, setting(one, 'gamma', 0.01), request.quirks);
    case 'drop':
    case 'della': {
      if (density >= 1) return delta;
      const mask = input.masks?.get(name);
      if (mask === undefined) throw new Error(`${input.name} needs a mask for ${name}`);
      return applyMask(delta, mask);
    }
  }
}

/** `rescale` is `l1` (or true), `1/p`, which divides by the probability of staying, or `off` (or false). */
function resize(rule: Family, one: Contribution, kept: Vector): Vector {
  const { delta, shape, request } = one;
  const density = setting(one, 'density', 1);
  if (rule.sparsify === 'nothing' || density >= 1) return kept;
  const how = request.parameters?.['rescale'] ?? rule.rescale;
  if (how === 'off' || how === false) return kept;
  if (how !== '1/p') return rescaleL1(delta, kept);
  if (rule.sparsify !== 'della') return scaled(kept, 1 / density);
  const probabilities = dellaProbabilities(delta, shape, density, setting(one, 'epsilon', 0.15));
  return kept.map((value, index) => value / at(probabilities, index));
}

const member = (rule: Family): ReferenceRule =>
  ofTensors((taus, request, shape, name) => {
    const round = rounder(request.arithmetic);
    const deltas = request.inputs.map((input, index) => {
      const one: Contribution = { delta: taus[index] ?? zeros(0), shape, name, input, request };
      return resize(rule, one, sparsify(rule, one)).map(round);
    });
    return familyCombine(deltas, {
      weights: weightsOf(request),
      consensus: rule.consensus,
      normalize: flagFrom(request, 'normalize', rule.normalize),
      arithmetic: request.arithmetic,
    });
  });

export const FAMILY = {
  task_arithmetic: member({ sparsify: 'nothing', consensus: false, normalize: false, rescale: false }),
  ties: member({ sparsify: 'magnitude', consensus: true, normalize: true, rescale: false }),
  dare_ties: member({ sparsify: 'drop', consensus: true, normalize: false, rescale: true }),
  dare_linear: member({ sparsify: 'drop', consensus: false, normalize: false, rescale: true }),
  breadcrumbs: member({ sparsify: 'outliers', consensus: false, normalize: false, rescale: false }),
  breadcrumbs_ties: member({ sparsify: 'outliers', consensus: true, normalize: false, rescale: false }),
  della: member({ sparsify: 'della', consensus: true, normalize: true, rescale: true }),
  della_linear: member({ sparsify: 'della', consensus: false, normalize: false, rescale: true }),
};
