/** MAP (arXiv 2406.07529): the reference points and as many samples of the box as the budget allows, all at once. */
import type { Proposal, StudySpec } from '../study.js';
import { affordable, budgetOf, costOf } from './budget.js';
import { type MeasuredBook, unasked } from './measured-book.js';
import { keyOf } from './points.js';
import { referencePoints } from './reference-points.js';
import { sampleBox } from './sample-box.js';

/** How many candidates a batch has where the clock ends the study. */
export function openEndedBatch({ dimensions }: StudySpec): number {
  return Math.max(8, 2 * (dimensions.length + 1));
}

/** Samples that follow those of the history. */
export function moreSamples(spec: StudySpec, book: MeasuredBook, count: number, besides: readonly Proposal[]): Proposal[] {
  const taken = book.keys();
  for (const { coefficients } of besides) taken.add(keyOf(coefficients));
  const drawn = book.candidates.filter(({ kind }) => kind === 'sample').length;
  return sampleBox(spec, count, taken, drawn).map((coefficients) => ({ kind: 'sample', coefficients }));
}

/** Candidates measured in all tasks that so much pays for. */
export function candidatesFor(spec: StudySpec, left: number): number {
  return Math.floor(left / costOf(spec, {}));
}

/** The reference points that are missing, and so many samples beside them at most as are paid for. */
export function firstBatch(spec: StudySpec, book: MeasuredBook, left: number, samples: number): Proposal[] {
  const references = unasked(book, referencePoints(spec));
  const rest = left - references.length * costOf(spec, {});
  const count = Math.max(Math.min(samples, candidatesFor(spec, rest)), 0);
  return [...references, ...affordable(spec, rest, moreSamples(spec, book, count, references))];
}

export function mapBatch(spec: StudySpec, book: MeasuredBook, left: number): Proposal[] {
  const openEnded = budgetOf(spec).kind === 'minutes';
  return firstBatch(spec, book, left, openEnded ? openEndedBatch(spec) : Infinity);
}
