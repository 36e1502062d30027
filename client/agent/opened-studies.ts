/** Studies that are opened once, whichever slot asks first, and which models they hold. */
import type { Study } from '../../shared/generated/tributary/v1/evaluations.js';
import type { Connection } from '../api/connection.js';
import { type Patience, persevere } from '../api/retry.js';
import type { OpeningStudy } from './measure-candidate.js';
import type { ModelCacheOptions } from './model-cache.js';
import { openStudy } from './open-study.js';
import { studyIdentity } from './study-identity.js';

/** Studies that stay opened; what is dropped is opened again when it is wanted. */
const OPENED_STUDIES = 8;

interface Entry {
  readonly opening: Promise<OpeningStudy>;
  /** Digests of what it reads, as far as they are known. */
  readonly models: Set<string>;
  users: number;
}

export interface OpenedStudies {
  /** While `body` runs, the models of the study are in use. */
  use(round: string, body: (opening: OpeningStudy) => Promise<void>): Promise<void>;
  inUse(): Set<string>;
  /** Studies that hold this model are opened again when they are wanted. */
  forget(model: string): void;
}

export interface OpenedStudiesOptions {
  readonly connection: Connection;
  readonly patience: Patience;
  readonly cache: Omit<ModelCacheOptions, 'onUse'>;
  /** After each use. */
  readonly touch: (models: ReadonlySet<string>) => Promise<void>;
}

export function openedStudies({ connection, patience, cache, touch }: OpenedStudiesOptions): OpenedStudies {
  const known = new Map<string, Entry>();
  /** Of `known`, and others whose last use is not over. */
  const entries = new Set<Entry>();

  function drop(round: string, entry: Entry): void {
    if (known.get(round) === entry) known.delete(round);
    if (entry.users === 0) entries.delete(entry);
  }

  function begin(round: string): Entry {
    const models = new Set<string>();
    const open = (study: Study): OpeningStudy => ({
      leaseSeconds: study.leaseSeconds,
      identity: studyIdentity(study),
      opened: openStudy(study, { ...cache, onUse: (digest) => void models.add(digest) }),
    });
    const opening = persevere(patience, () => connection.evaluations.getStudy({ round }, { signal: patience.signal })).then(open);
    const entry: Entry = { opening, models, users: 0 };
    entries.add(entry);
    opening.then(({ opened }) => opened).catch(() => drop(round, entry));
    return entry;
  }

  return {
    async use(round, body) {
      const entry = known.get(round) ?? begin(round);
      // Re-inserting keeps the map in order of use.
      known.delete(round);
      known.set(round, entry);
      entry.users += 1;
      const [oldest] = known;
      if (known.size > OPENED_STUDIES && oldest !== undefined) drop(...oldest);
      try {
        await body(await entry.opening);
      } finally {
        entry.users -= 1;
        if (known.get(round) !== entry) drop(round, entry);
        await touch(entry.models);
      }
    },
    inUse: () => new Set([...entries].flatMap(({ users, models }) => (users === 0 ? [] : [...models]))),
    forget(model) {
      for (const [round, entry] of known) if (entry.models.has(model)) drop(round, entry);
    },
  };
}
