/** What a study is made of: recipe, participants, tasks and coordinates. Fixed from the moment the round is published, so it is read once. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { StudySpec } from '../../shared/pareto/study.js';
import { type MapBlock, studySpecOf } from '../../shared/recipe/map-block.js';
import type { Recipe } from '../../shared/recipe/recipe.js';
import { parseRoundRecipe } from '../rounds/round-recipe.js';
import type { ContributionRow, RoundRow, RoundStore } from '../rounds/round-store.js';
import type { StudyStore } from './study-store.js';

export interface KnownStudy {
  readonly round: RoundRow;
  readonly recipe: Recipe;
  readonly map: MapBlock;
  readonly spec: StudySpec;
  /** Accepted ones, in the order of names. */
  readonly contributions: readonly ContributionRow[];
}

/** Those that agents work on and people look at. */
const CACHED = 32;

export class KnownStudies {
  readonly #rounds: RoundStore;
  readonly #studies: StudyStore;
  readonly #known = new Map<string, KnownStudy>();

  constructor(rounds: RoundStore, studies: StudyStore) {
    this.#rounds = rounds;
    this.#studies = studies;
  }

  /** @throws ROUND_NOT_FOUND, STUDY_NOT_FOUND */
  get(name: string): KnownStudy {
    const known = this.#known.get(name) ?? this.#read(name);
    // Re-inserting keeps the map in order of use.
    this.#known.delete(name);
    this.#known.set(name, known);
    const oldest = this.#known.keys().next().value;
    if (this.#known.size > CACHED && oldest !== undefined) this.#known.delete(oldest);
    return known;
  }

  #read(name: string): KnownStudy {
    const round = this.#rounds.get(name);
    this.#studies.get(name);
    const { recipe } = parseRoundRecipe(round.recipe);
    const contributions = this.#rounds.accepted(name);
    const spec = studySpecOf(
      recipe,
      contributions.map(({ contributor }) => contributor),
    );
    return { round, recipe, map: recipe.map as MapBlock, spec, contributions };
  }
}

/** Coefficients that went through decimal text may be off by this; they are moved onto the bound. */
const SLACK = 1e-9;

/** A point of the study's box: surrogates say nothing of what lies outside. @throws USAGE */
export function checkCoefficients({ spec: { dimensions } }: Pick<KnownStudy, 'spec'>, coefficients: readonly number[]): number[] {
  if (coefficients.length !== dimensions.length)
    throw new TributaryError('USAGE', {
      what: 'There is one coefficient for each coordinate of the study',
      expected: `${dimensions.length}: ${dimensions.map(({ name }) => name).join(', ')}`,
      got: `${coefficients.length}`,
    });
  return dimensions.map(({ name, lower, upper }, index) => {
    const value = coefficients[index] ?? Number.NaN;
    if (value >= lower - SLACK && value <= upper + SLACK) return Math.min(upper, Math.max(lower, value));
    throw new TributaryError('USAGE', {
      what: `The coefficient of ${name} is outside of the box that was sampled`,
      expected: `${lower} to ${upper}`,
      got: `${value}`,
    });
  });
}
