/**
 * The fixed choices of the demo: who contributes what, how it is merged, and how a bad contribution is made. `train experiment` measures the
 * weighted sums among the rules without a coordinator.
 */
import { DOMAIN_IMAGES } from './digits.js';
import { DOMAINS, type Domain } from './domains.js';

export interface DemoContributor {
  readonly name: string;
  readonly domain: Domain;
  readonly samples: number;
}

export interface DemoRecipe {
  /** In the tables; its first word is the round's name. */
  readonly name: string;
  /** As a round takes it. */
  readonly yaml: string;
}

/** A rule in closed form: merged = base + sum of coefficient x (contribution - base). */
export interface WeightedSumRecipe extends DemoRecipe {
  readonly coefficients: (samples: readonly number[]) => number[];
}

const NAMES: Readonly<Record<Domain, string>> = { upright: 'archive', rotated: 'post-office', inverted: 'school', ruled: 'laboratory' };

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

export function taskArithmeticRecipe(lambda: number): WeightedSumRecipe {
  return {
    name: `task_arithmetic ${lambda}`,
    yaml: `merge_method: task_arithmetic\nparameters: {weight: 1.0, lambda: ${lambda}}\n`,
    coefficients: (samples) => samples.map(() => lambda),
  };
}

const recipe = (method: string, parameters: string): DemoRecipe => ({
  name: method,
  yaml: `merge_method: ${method}\n${parameters === '' ? '' : `parameters: {${parameters}}\n`}`,
});

/** Those that `train experiment` measures without a coordinator. */
export const WEIGHTED_SUMS: readonly WeightedSumRecipe[] = [
  { ...recipe('linear', 'weight: 1.0'), coefficients: (samples) => samples.map(() => 1 / samples.length) },
  { ...recipe('fedavg', ''), coefficients: (samples) => samples.map((count) => count / sum(samples)) },
];

export const DEMO_PLAN = {
  seed: 1,
  /** Commands of teams that run at a time, each a process of its own: as many as the smallest machine has cores. */
  parallel: 2,
  contributors: DOMAINS.map((domain): DemoContributor => ({ name: NAMES[domain], domain, samples: DOMAIN_IMAGES[domain] })),
  /**
   * What is not a default was chosen on validation images of other seeds (11 to 13) than the demo's: the factors of the two sums (fedgma, cclip), and
   * density and lambda of ties and dare_ties.
   */
  recipes: [
    ...WEIGHTED_SUMS,
    recipe('fednova', ''),
    recipe('fedgma', 'rho: 0.5, lambda: 0.3'),
    recipe('median', ''),
    recipe('cclip', 'lambda: 0.35'),
    recipe('ties', 'weight: 1.0, density: 0.2, lambda: 0.75'),
    recipe('dare_ties', 'weight: 1.0, density: 0.8, normalize: true, lambda: 0.75'),
    recipe('nan', ''),
  ] as readonly DemoRecipe[],
  /** Of which the demo takes the one that is best on validation images. */
  lambdas: [0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6],
  map: {
    /** Where coefficients of task vectors are sampled: above 0.7 four of them together are far from any good model. */
    coefficients: [0, 0.7],
    /** Twice the 15 numbers of a quadratic in four coefficients, as the MAP paper's code has it, and the references. */
    candidates: 36,
    /** Name of the model that is published. */
    model: 'trade-off',
  },
  poison: {
    contributor: 'mallory',
    /** Whose contribution it spoils. */
    copies: NAMES.ruled,
    /** What its task vector is multiplied by; 1 is the honest one. */
    factors: [1, 100, -10],
    recipes: [
      recipe('fedavg', ''),
      recipe('median', ''),
      recipe('trimmed_mean', 'trim: 0.2'),
      recipe('multi_krum', 'byzantine: 1, keep: 4'),
      recipe('cclip', 'aggregate: mean'),
      recipe('geometric_median', ''),
    ] as readonly DemoRecipe[],
  },
} as const;
