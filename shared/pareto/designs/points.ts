/** Vectors of coefficients as designs handle them: equal or not, inside of the box, and what a set of contributions means. */
import type { Dimension, StudySpec } from '../study.js';

export type Coefficients = readonly number[];

/** Two vectors are one point exactly if their keys are equal (-0 is 0). */
export function keyOf(coefficients: Coefficients): string {
  return coefficients.map((value) => (value === 0 ? 0 : value)).join(' ');
}

export function clamp(value: number, lower: number, upper: number): number {
  return Math.min(upper, Math.max(lower, value));
}

export function clampToBox(dimensions: readonly Dimension[], coefficients: Coefficients): number[] {
  return dimensions.map(({ lower, upper }, index) => clamp(coefficients[index] as number, lower, upper));
}

/** From [0, 1] in every coordinate. */
export function fromUnit(dimensions: readonly Dimension[], unit: Coefficients): number[] {
  return dimensions.map(({ lower, upper }, index) => clamp(lower + (upper - lower) * (unit[index] as number), lower, upper));
}

export function toUnit(dimensions: readonly Dimension[], coefficients: Coefficients): number[] {
  return dimensions.map(({ lower, upper }, index) => ((coefficients[index] as number) - lower) / (upper - lower));
}

/** Weights by contributor in all of their anchors; parameters of the rule where plain merging has them. */
export function fromWeights(dimensions: readonly Dimension[], weightOf: (contributor: string) => number): number[] {
  return dimensions.map(({ contributor, neutral }) => (contributor === undefined ? neutral : weightOf(contributor)));
}

/** The mean of some contributions. */
export function averageOf(dimensions: readonly Dimension[], members: readonly string[]): number[] {
  return fromWeights(dimensions, (contributor) => (members.includes(contributor) ? 1 / members.length : 0));
}

/** Those who have a weight that varies, in the order of the study. */
export function weightedContributors({ contributors, dimensions }: StudySpec): string[] {
  return contributors.filter((name) => dimensions.some(({ contributor }) => contributor === name));
}
