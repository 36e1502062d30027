/**
 * What everything about Pareto fronts speaks of, as plain data: a study (which tasks, which coordinates, which method), its candidates and
 * measurements, surrogates, points and fronts. Metrics are always in their own units and direction; only solvers turn them around.
 * Source: MAP, arXiv 2406.07529.
 */

export type Direction = 'maximize' | 'minimize';

export interface Task {
  readonly name: string;
  /** Key in what the evaluator reports. */
  readonly metric: string;
  readonly direction: Direction;
  /** Possible values; undefined: unbounded on that side. */
  readonly lower?: number | undefined;
  readonly upper?: number | undefined;
  /** The agent that may measure it; undefined: any that offers to. */
  readonly owner?: string | undefined;
}

/** One coordinate of a candidate. */
export interface Dimension {
  /** `alice`, `alice[2]`, or the name of a parameter of the rule. */
  readonly name: string;
  /** Whose weight it is; undefined: a parameter of the rule. */
  readonly contributor?: string | undefined;
  /** Anchor of a gradient over the layers, from 0; undefined: one weight for all layers. */
  readonly anchor?: number | undefined;
  /** The box that is sampled and searched: lower < upper. */
  readonly lower: number;
  readonly upper: number;
  /** What plain merging takes: 1 for a weight, the rule's value for a parameter. */
  readonly neutral: number;
}

export type Method = 'map' | 'bayesian' | 'nested' | 'adamerging' | 'recycle';

/** Exactly one is given. An evaluation is one (candidate, task) pair. */
export type Budget =
  | { readonly kind: 'candidates'; readonly candidates: number }
  | { readonly kind: 'evaluations'; readonly evaluations: number }
  | { readonly kind: 'minutes'; readonly minutes: number };

/** How the box is filled: a scrambled Sobol sequence, the MAP paper's grid and isotropic draws, or uniformly at random. */
export type SamplerKind = 'sobol' | 'grid' | 'uniform';

export type LinkName = 'identity' | 'sigmoid' | 'softplus' | 'exp';

export interface SurrogateSettings {
  /** `auto`: by the bounds of the metric, and among what they admit the one with the smaller leave-one-out error. */
  readonly link: LinkName | 'auto';
  /** Chosen by leave-one-out when `auto`. */
  readonly ridge: number | 'auto';
  /** A surrogate whose held-out R2 is below this is not served. */
  readonly minR2: number;
}

/** The settings of a `map:` block that do not depend on who takes part. */
export interface StudySettings {
  readonly tasks: readonly Task[];
  readonly method: Method;
  /** Undefined: (N + 1)(N + 2) candidates, N dimensions, as the MAP paper's code. */
  readonly budget?: Budget | undefined;
  readonly sampler: SamplerKind;
  readonly seed: number;
  /** Weights of tasks in methods that end in one model (nested, recycle, adamerging) and in soups, by task; absent: 1. */
  readonly preferences: ReadonlyMap<string, number>;
  /** Contributions are not measured alone: where agents download candidates, one of these would be another team's model. */
  readonly withoutSingles?: true | undefined;
  /** Measure the greedy soup too (the uniform one is the plain average, always measured). */
  readonly greedySoup: boolean;
  readonly surrogate: SurrogateSettings;
}

/** Settings and coordinates: with the measurements, all that decides which candidates come next and which front is served. */
export interface StudySpec extends StudySettings {
  /** In the order of names. */
  readonly contributors: readonly string[];
  readonly dimensions: readonly Dimension[];
}

export type CandidateKind = 'base' | 'single' | 'average' | 'sample' | 'adaptive' | 'soup' | 'materialised' | 'result';

/** What a design wants measured. */
export interface Proposal {
  readonly kind: CandidateKind;
  /** Of a single: the contributor; of a result: what found it. */
  readonly label?: string | undefined;
  readonly coefficients: readonly number[];
  /** Numbers of the tasks to measure; undefined: all. */
  readonly tasks?: readonly number[] | undefined;
}

export interface Measured {
  readonly value: number;
  /** Number of examples; undefined: not known. */
  readonly count?: number | undefined;
  readonly standardError?: number | undefined;
  /** d value / d coefficient. */
  readonly gradient?: readonly number[] | undefined;
}

/** A candidate and what is known of it. */
export interface MeasuredCandidate extends Proposal {
  readonly id: number;
  /** Number of the batch it was proposed in, from 0. Batches are complete (measured or given up) before the next is proposed. */
  readonly batch: number;
  /** By number of task; undefined: not measured, not asked for, or given up. */
  readonly measured: readonly (Measured | undefined)[];
}

/** Held-out numbers are of leave-one-out predictions; all are on the scale of the metric. */
export interface SurrogateQuality {
  readonly r2: number;
  readonly heldOutR2: number;
  readonly heldOutRmse: number;
  readonly measurements: number;
  readonly ridge: number;
  readonly usable: boolean;
  readonly reason?: string | undefined;
}

/**
 * metric(c) = link(q(c)), q(c) = constant + linear . c + sum of square_i c_i^2 + sum over i < j of cross_ij c_i c_j.
 * `parameters` in the order of the MAP paper's code: squares (N), cross terms (N (N - 1) / 2; (0,1), (0,2), ...), linear (N), constant.
 */
export interface Surrogate {
  readonly link: LinkName;
  /** Of the metric: sigmoid spans [lower, upper], softplus and exp go up from lower (or down from upper when only that is given). */
  readonly lower?: number | undefined;
  readonly upper?: number | undefined;
  readonly parameters: readonly number[];
  /** Covariance of the parameters, row by row, (parameters)^2 values; empty when there are too few measurements to tell. */
  readonly covariance: readonly number[];
  readonly quality: SurrogateQuality;
}

export interface PredictedPoint {
  readonly coefficients: readonly number[];
  /** By number of task. */
  readonly predicted: readonly number[];
  readonly predictedErrors: readonly number[];
}

export type SolverName = 'gradient' | 'nsga3';

/** Of predicted values. No point dominates another; in the order of their coefficients. */
export interface PredictedFront {
  readonly points: readonly PredictedPoint[];
  readonly solver: SolverName;
  readonly hypervolume: Readonly<Record<SolverName, number>>;
  /** By number of task: what hypervolumes are measured from, worse than every point. */
  readonly referencePoint: readonly number[];
}
