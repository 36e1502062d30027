/**
 * The life of a study as a total table: every state meets every event here and nowhere else. SPEC.md says the same in words, and a test
 * holds the two against each other.
 */

export const STUDY_STATES = ['evaluating', 'complete', 'stopped'] as const;
export type StudyState = (typeof STUDY_STATES)[number];

export const STUDY_EVENTS = [
  'measured',
  'batch_proposed',
  'design_finished',
  'budget_spent',
  'design_failed',
  'stop_requested',
  'point_chosen',
] as const;
export type StudyEvent = (typeof STUDY_EVENTS)[number];

/** Where an event leads, or why it is refused. `stay`: allowed, and the state does not change. */
export type StudyOutcome =
  | { readonly kind: 'to'; readonly state: StudyState }
  | { readonly kind: 'stay' }
  | { readonly kind: 'refuse'; readonly code: 'ROUND_STATE' };

const to = (state: StudyState): StudyOutcome => ({ kind: 'to', state });
const stay: StudyOutcome = { kind: 'stay' };
const over: StudyOutcome = { kind: 'refuse', code: 'ROUND_STATE' };

/** What a study that ended still takes: measurements of points that were chosen, and late ones. */
const ENDED: Readonly<Record<StudyEvent, StudyOutcome>> = {
  measured: stay,
  batch_proposed: over,
  design_finished: over,
  budget_spent: over,
  design_failed: over,
  stop_requested: stay,
  point_chosen: stay,
};

export const STUDY_TABLE: Readonly<Record<StudyState, Readonly<Record<StudyEvent, StudyOutcome>>>> = {
  evaluating: {
    measured: stay,
    batch_proposed: stay,
    design_finished: to('complete'),
    budget_spent: to('complete'),
    design_failed: to('stopped'),
    stop_requested: to('stopped'),
    point_chosen: stay,
  },
  complete: ENDED,
  stopped: ENDED,
};
