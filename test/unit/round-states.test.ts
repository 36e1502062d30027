/** The life of a round: the words of SPEC.md, the table in code and what the database does are one and the same. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RoundStore } from '../../coordinator/rounds/round-store.js';
import { ROUND_EVENTS, ROUND_STATES, ROUND_TABLE, type RoundEvent, type RoundState } from '../../coordinator/rounds/states.js';
import type { RoundNotice } from '../../coordinator/state/commit.js';
import { openDatabase } from '../../coordinator/state/database.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { expectSpecTable } from '../support/spec-table.js';
import { tempDir } from '../support/temp-dir.js';

test("SPEC.md's table is the table of states.ts", () => {
  expectSpecTable(new URL('../../../coordinator/rounds/SPEC.md', import.meta.url), ROUND_STATES, ROUND_EVENTS, ROUND_TABLE);
});

const folder = tempDir();
const db = openDatabase(folder);
const BASE = 'base';
db.exec(`INSERT INTO manifests VALUES ('m', x'00', 0); INSERT INTO models VALUES ('${BASE}', 'base', NULL, 0, 'm', 'w', 0, 0, 0, 0)`);
const TEAMS = ['a', 'b', 'c'];
const MIN_CONTRIBUTIONS = 1;

interface Model {
  state: RoundState;
  readonly accepted: Set<string>;
}

/** The real thing: one round in a real database, and everything it announced. */
class Real {
  readonly name: string;
  readonly notices: RoundNotice[] = [];
  readonly store: RoundStore;
  #now = 0;

  constructor(name: string, quorum: number) {
    this.name = name;
    this.store = new RoundStore(
      db,
      () => ++this.#now,
      (notice) => this.notices.push(notice),
    );
    const fixed = { base_name: BASE, base_digest: 'w', recipe: '', min_contributions: MIN_CONTRIBUTIONS, deadline_ms: null };
    this.store.create({ ...fixed, name, quorum });
  }

  contribute(contributor: string, sound: boolean): void {
    const reason = sound ? undefined : { code: 'NON_FINITE', details: { what: 'NaN' } };
    const numbers = { samples: null, steps: null, norm: 1, total_bytes: 1, sent_bytes: 1 };
    const row = { round: this.name, contributor, kind: 'full' as const, manifest_digest: 'm', weights_digest: 'w', reason, ...numbers };
    this.store.addContribution(row, () => {});
  }

  /** What is in the database, as the model sees it. */
  observe(): { state: RoundState; accepted: string[]; events: number } {
    const events = db.prepare('SELECT count(*) AS count FROM events WHERE round = ?').get(this.name) as { count: number };
    const accepted = this.store.accepted(this.name).map(({ contributor }) => contributor);
    return { state: this.store.get(this.name).state, accepted, events: events.count };
  }
}

type Step =
  | { readonly kind: 'contribute'; readonly team: string; readonly sound: boolean }
  | { readonly kind: 'withdraw'; readonly team: string }
  | { readonly kind: 'close'; readonly event: 'close_requested' | 'deadline_met' }
  | { readonly kind: 'change'; readonly event: 'deadline_missed' | 'merge_succeeded' | 'merge_failed' | 'cancel_requested' };

/** What the table says a step does: the code it is refused with, or undefined after it changed the model. */
function predict(model: Model, step: Step, quorum: number): string | undefined {
  const event: RoundEvent =
    step.kind === 'contribute' ? 'contribution_accepted' : step.kind === 'withdraw' ? 'contribution_withdrawn' : step.event;
  const tooFew = model.accepted.size < MIN_CONTRIBUTIONS;
  if (step.kind === 'close' && tooFew && (model.state === 'open' || model.state === 'failed')) return 'NO_CONTRIBUTIONS';
  const outcome = ROUND_TABLE[model.state][event];
  if (outcome.kind === 'refuse') return outcome.code;
  if (step.kind === 'withdraw' && !model.accepted.delete(step.team)) return 'CONTRIBUTION_NOT_FOUND';
  if (step.kind === 'contribute' && step.sound) {
    model.accepted.add(step.team);
    const full = ROUND_TABLE[model.state].quorum_reached;
    if (quorum > 0 && model.accepted.size >= quorum && full.kind === 'to') model.state = full.state;
  }
  if (outcome.kind === 'to') model.state = outcome.state;
  return undefined;
}

function perform(real: Real, step: Step): void {
  switch (step.kind) {
    case 'contribute':
      return real.contribute(step.team, step.sound);
    case 'withdraw':
      return real.store.withdraw(real.name, step.team);
    case 'close':
      real.store.close(real.name, step.event);
      return;
    case 'change':
      real.store.change(real.name, step.event);
  }
}

class StepCommand implements fc.Command<Model, Real> {
  readonly #step: Step;
  readonly #quorum: number;

  constructor(step: Step, quorum: number) {
    this.#step = step;
    this.#quorum = quorum;
  }

  check(): boolean {
    return true;
  }

  run(model: Model, real: Real): void {
    const before = real.observe();
    const announced = real.notices.length;
    const refusal = predict(model, this.#step, this.#quorum);
    let code: string | undefined;
    try {
      perform(real, this.#step);
    } catch (error) {
      if (!(error instanceof TributaryError)) throw error;
      code = error.code;
    }
    expect(code).toBe(refusal);
    const after = real.observe();
    expect(after.state).toBe(model.state);
    expect(after.accepted).toEqual([...model.accepted].sort());
    expect(after.events - before.events, 'events stored are events announced').toBe(real.notices.length - announced);
    if (code !== undefined) expect(after).toEqual(before);
    if (after.state !== before.state) expect(real.notices.at(-1)?.type).toBe(`round.${after.state}`);
  }

  toString(): string {
    return JSON.stringify(this.#step);
  }
}

const team = fc.constantFrom(...TEAMS);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('contribute' as const), team, sound: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), team }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('close' as const), event: fc.constantFrom('close_requested', 'deadline_met') }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      event: fc.constantFrom('deadline_missed', 'merge_succeeded', 'merge_failed', 'cancel_requested'),
    }),
  },
);

describe('the database follows the table', () => {
  let rounds = 0;
  test.each([0, 2, 3])('with a quorum of %i, whatever happens', (quorum) => {
    fc.assert(
      fc.property(fc.commands([step.map((one) => new StepCommand(one, quorum))], { maxCommands: 25 }), (commands) => {
        const model: Model = { state: 'open', accepted: new Set() };
        fc.modelRun(() => ({ model, real: new Real(`r${rounds++}`, quorum) }), commands);
      }),
      { numRuns: 60 },
    );
  });
});
