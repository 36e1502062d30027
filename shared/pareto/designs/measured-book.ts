/**
 * What a study knows, by point. Designs replay themselves against it: they go through their stages as from the start, look up what they would
 * ask for, and stop at the first stage that has not been asked for yet. So there is no state beside the history, and nothing to lose.
 * What people had materialised is left out: it must not change which candidates come next.
 */
import type { Measured, MeasuredCandidate, Proposal, StudySpec } from '../study.js';
import { type Coefficients, keyOf } from './points.js';

export interface MeasuredBook {
  readonly candidates: readonly MeasuredCandidate[];
  /** By number of task; of several measurements at one point, the first. */
  readonly at: (coefficients: Coefficients) => readonly (Measured | undefined)[];
  /** Whether all tasks that the proposal asks for were asked for at its point, measured or given up. */
  readonly wasAsked: (proposal: Proposal) => boolean;
  readonly hasResult: (label: string) => boolean;
  /** Keys of all points. */
  readonly keys: () => Set<string>;
}

interface Entry {
  readonly measured: (Measured | undefined)[];
  readonly asked: Set<number>;
}

/** A number that is not one counts as not measured. */
const sound = (measured: Measured | undefined): Measured | undefined =>
  measured !== undefined && Number.isFinite(measured.value) ? measured : undefined;

export function openBook({ tasks }: Pick<StudySpec, 'tasks'>, history: readonly MeasuredCandidate[]): MeasuredBook {
  const entries = new Map<string, Entry>();
  const candidates = history.filter(({ kind }) => kind !== 'materialised');
  for (const candidate of candidates) {
    const key = keyOf(candidate.coefficients);
    const entry = entries.get(key) ?? { measured: tasks.map(() => undefined), asked: new Set<number>() };
    entries.set(key, entry);
    for (const task of candidate.tasks ?? tasks.keys()) entry.asked.add(task);
    for (const task of tasks.keys()) entry.measured[task] ??= sound(candidate.measured[task]);
  }
  const nothing = tasks.map(() => undefined);
  return {
    candidates,
    at: (coefficients) => entries.get(keyOf(coefficients))?.measured ?? nothing,
    wasAsked(proposal) {
      const asked = entries.get(keyOf(proposal.coefficients))?.asked;
      return asked !== undefined && [...(proposal.tasks ?? tasks.keys())].every((task) => asked.has(task));
    },
    hasResult: (label) => candidates.some((candidate) => candidate.kind === 'result' && candidate.label === label),
    keys: () => new Set(entries.keys()),
  };
}

/** Those not asked for yet, each point once. */
export function unasked(book: MeasuredBook, proposals: readonly Proposal[]): Proposal[] {
  const seen = new Set<string>();
  return proposals.filter((proposal) => {
    const key = keyOf(proposal.coefficients);
    return !book.wasAsked(proposal) && !seen.has(key) && seen.add(key);
  });
}

/** The one proposal that ends a method, unless it has been made. */
export function resultOf(book: MeasuredBook, label: string, coefficients: Coefficients): Proposal[] {
  return book.hasResult(label) ? [] : [{ kind: 'result', label, coefficients }];
}
