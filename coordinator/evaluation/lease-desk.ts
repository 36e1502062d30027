/**
 * Hands out leases, now or as soon as there is something to hand out, and remembers who asks for what. Nothing here is lost with the
 * process but the times of asking: leases themselves are rows.
 */
import type { KnownStudies, KnownStudy } from './known-studies.js';
import type { Lease } from './study-rows.js';
import type { StudyStore } from './study-store.js';

export interface LeaseWish {
  readonly agent: string;
  /** Empty: any round. */
  readonly round: string;
  readonly tasks: readonly string[];
  readonly most: number;
  readonly waitMs: number;
}

export interface DeskSettings {
  readonly leaseMs: number;
  readonly nowMs: () => number;
  /** Of leases that had expired in other hands. */
  readonly onExpired: (count: number) => void;
}

/** Timers may come a little early; asking a little late costs nothing. */
const TIMER_SLACK_MS = 2;

/** Numbers of the tasks of a study that an agent offers to measure and may. */
export function tasksFor({ spec }: KnownStudy, agent: string, offered: readonly string[]): number[] {
  return spec.tasks.flatMap(({ name, owner }, task) => (offered.includes(name) && (owner === undefined || owner === agent) ? [task] : []));
}

export class LeaseDesk {
  readonly #studies: StudyStore;
  readonly #known: KnownStudies;
  readonly #settings: DeskSettings;
  readonly #waiting = new Set<() => void>();
  readonly #asked = new Map<string, Map<number, number>>();

  constructor(studies: StudyStore, known: KnownStudies, settings: DeskSettings) {
    this.#studies = studies;
    this.#known = known;
    this.#settings = settings;
  }

  /** Wakes who waits: there may be something to hand out. */
  ring(): void {
    // Who wakes leaves the set.
    for (const wake of this.#waiting) wake();
  }

  /** Unix ms at which an agent last asked for a task, or said that it still measures it; undefined: never since the start. */
  lastAskedMs(round: string, task: number): number | undefined {
    return this.#asked.get(round)?.get(task);
  }

  noteAsked(round: string, tasks: readonly number[]): void {
    let ofRound = this.#asked.get(round);
    if (ofRound === undefined) this.#asked.set(round, (ofRound = new Map()));
    for (const task of tasks) ofRound.set(task, this.#settings.nowMs());
  }

  /** @returns nothing when the time is over or the caller went away @throws ROUND_NOT_FOUND, STUDY_NOT_FOUND for a round that is named */
  async lease(wish: LeaseWish, signal: AbortSignal): Promise<Lease[]> {
    if (wish.round !== '') this.#known.get(wish.round);
    const endMs = this.#settings.nowMs() + wish.waitMs;
    for (;;) {
      if (signal.aborted) return [];
      const leases = this.#take(wish);
      const leftMs = endMs - this.#settings.nowMs();
      if (leases.length > 0 || leftMs <= 0) return leases;
      await this.#wait(leftMs, signal);
    }
  }

  #take(wish: LeaseWish): Lease[] {
    let taken: Lease[] = [];
    for (const round of this.#studies.active()) {
      if (wish.round !== '' && wish.round !== round) continue;
      const tasks = tasksFor(this.#known.get(round), wish.agent, wish.tasks);
      if (tasks.length === 0) continue;
      this.noteAsked(round, tasks);
      if (taken.length > 0) continue;
      const { leases, expired } = this.#studies.lease(round, wish.agent, tasks, wish.most, this.#settings.leaseMs);
      this.#settings.onExpired(expired);
      taken = leases;
    }
    return taken;
  }

  async #wait(leftMs: number, signal: AbortSignal): Promise<void> {
    const expiryMs = this.#studies.nextExpiryMs();
    const untilExpiryMs = expiryMs === undefined ? leftMs : expiryMs - this.#settings.nowMs() + TIMER_SLACK_MS;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(1, Math.min(leftMs, untilExpiryMs)));
      this.#waiting.add(done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}
