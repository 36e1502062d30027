/**
 * The life of a round as a total table: every state meets every event here and nowhere else. SPEC.md says the same in words, and a
 * test holds the two against each other.
 */

export const ROUND_STATES = ['open', 'merging', 'published', 'failed', 'cancelled'] as const;
export type RoundState = (typeof ROUND_STATES)[number];

export const ROUND_EVENTS = [
  'contribution_accepted',
  'contribution_withdrawn',
  'close_requested',
  'quorum_reached',
  'deadline_met',
  'deadline_missed',
  'merge_succeeded',
  'merge_failed',
  'cancel_requested',
] as const;
export type RoundEvent = (typeof ROUND_EVENTS)[number];

/** Where an event leads, or why it is refused. `stay`: allowed, and the state does not change. */
export type Outcome =
  | { readonly kind: 'to'; readonly state: RoundState }
  | { readonly kind: 'stay' }
  | { readonly kind: 'refuse'; readonly code: 'ROUND_CLOSED' | 'ROUND_STATE' };

const to = (state: RoundState): Outcome => ({ kind: 'to', state });
const stay: Outcome = { kind: 'stay' };
const closed: Outcome = { kind: 'refuse', code: 'ROUND_CLOSED' };
const wrongState: Outcome = { kind: 'refuse', code: 'ROUND_STATE' };

export const ROUND_TABLE: Readonly<Record<RoundState, Readonly<Record<RoundEvent, Outcome>>>> = {
  open: {
    contribution_accepted: stay,
    contribution_withdrawn: stay,
    close_requested: to('merging'),
    quorum_reached: to('merging'),
    deadline_met: to('merging'),
    deadline_missed: to('failed'),
    merge_succeeded: wrongState,
    merge_failed: wrongState,
    cancel_requested: to('cancelled'),
  },
  merging: {
    contribution_accepted: closed,
    contribution_withdrawn: closed,
    close_requested: stay,
    quorum_reached: wrongState,
    deadline_met: wrongState,
    deadline_missed: wrongState,
    merge_succeeded: to('published'),
    merge_failed: to('failed'),
    cancel_requested: to('cancelled'),
  },
  published: {
    contribution_accepted: closed,
    contribution_withdrawn: closed,
    close_requested: stay,
    quorum_reached: wrongState,
    deadline_met: wrongState,
    deadline_missed: wrongState,
    merge_succeeded: wrongState,
    merge_failed: wrongState,
    cancel_requested: wrongState,
  },
  failed: {
    contribution_accepted: closed,
    contribution_withdrawn: stay,
    close_requested: to('merging'),
    quorum_reached: wrongState,
    deadline_met: wrongState,
    deadline_missed: wrongState,
    merge_succeeded: wrongState,
    merge_failed: wrongState,
    cancel_requested: to('cancelled'),
  },
  cancelled: {
    contribution_accepted: closed,
    contribution_withdrawn: closed,
    close_requested: closed,
    quorum_reached: wrongState,
    deadline_met: wrongState,
    deadline_missed: wrongState,
    merge_succeeded: wrongState,
    merge_failed: wrongState,
    cancel_requested: stay,
  },
};
