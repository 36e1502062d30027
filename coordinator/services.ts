/** What the handlers work with. Built once by coordinator.ts; no module keeps state of its own outside of it. */
import type { Logger } from 'pino';
import type { FoundEngine } from '../shared/linalg/linear-algebra.js';
import { Semaphore } from '../shared/util/semaphore.js';
import type { CoordinatorConfig } from './config.js';
import { KnownStudies } from './evaluation/known-studies.js';
import { LeaseDesk } from './evaluation/lease-desk.js';
import { ProgressNotices } from './evaluation/progress-notices.js';
import { ServedCandidates } from './evaluation/served-candidates.js';
import type { Pair } from './evaluation/study-rows.js';
import { StudyStore } from './evaluation/study-store.js';
import { ModelStore } from './models/model-store.js';
import { Names } from './models/names.js';
import { FitThread } from './pareto/fit-thread.js';
import { Fronts } from './pareto/fronts.js';
import { LongAnswers } from './pareto/long-answers.js';
import { MaterialisationStore } from './pareto/materialisation-store.js';
import { Materialiser } from './pareto/materialiser.js';
import { Answers } from './pareto/questions.js';

import { MergeQueue } from './rounds/merge-queue.js';
import { RoundHub } from './rounds/round-hub.js';
import { RoundStore } from './rounds/round-store.js';
import type { Database } from './state/database.js';
import { Signal } from './state/signal.js';
import { ChunkStore } from './store/chunk-store.js';
import { createMetrics, type Metrics } from './telemetry/metrics.js';
import { UploadStore } from './transfers/upload-store.js';

export interface Services {
  readonly config: CoordinatorConfig;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly db: Database;
  readonly chunks: ChunkStore;
  readonly models: ModelStore;
  readonly names: Names;
  readonly rounds: RoundStore;
  readonly uploads: UploadStore;
  readonly studies: StudyStore;
  readonly knownStudies: KnownStudies;
  readonly materialisations: MaterialisationStore;
  readonly hub: RoundHub;
  /** A pair was measured, or one attempt failed; told after it is durable. */
  readonly measured: Signal<Pair & { readonly measured: boolean }>;
  readonly notices: ProgressNotices;
  readonly desk: LeaseDesk;
  readonly merges: MergeQueue;
  readonly served: ServedCandidates;
  readonly threads: FitThread;
  readonly fronts: Fronts;
  readonly answers: Answers;
  readonly longAnswers: LongAnswers;
  readonly materialiser: Materialiser;
  readonly metrics: Metrics;
  /** Held while an upload is opened, and while garbage is collected: never both. */
  readonly opening: Semaphore;
  /** Finalize calls under way, by upload. */
  readonly finalizing: Map<string, Promise<void>>;
  /** Aborted when the process begins to stop. */
  readonly stopping: AbortSignal;
  /** For rules on whole matrices; undefined: the portable engine. */
  readonly findEngine: (() => Promise<FoundEngine>) | undefined;
}

export function createServices(
  config: CoordinatorConfig,
  logger: Logger,
  db: Database,
  nowMs: () => number,
  stopping: AbortSignal,
  findEngine?: () => Promise<FoundEngine>,
): Services {
  const hub = new RoundHub();
  const rounds = new RoundStore(db, nowMs, (notice) => hub.announce(notice));
  const models = new ModelStore(db, nowMs);
  const studies = new StudyStore(db, nowMs, (notice) => hub.announce(notice));
  const knownStudies = new KnownStudies(rounds, studies);
  const materialisations = new MaterialisationStore(db, nowMs, studies);
  const metrics = createMetrics({
    rounds: () => rounds.countByState(),
    contributions: () => rounds.countContributions(),
    studies: () => studies.countByState(),
    leases: () => studies.countLeases(),
  });
  const facts = {
    config,
    logger,
    nowMs,
    db,
    chunks: new ChunkStore(db, config.data, nowMs),
    models,
    names: new Names(models, rounds, materialisations),
    rounds,
    uploads: new UploadStore(db, nowMs),
    studies,
    knownStudies,
    materialisations,
    hub,
    measured: new Signal<Pair & { readonly measured: boolean }>(),
    notices: new ProgressNotices(hub, nowMs),
    desk: new LeaseDesk(studies, knownStudies, {
      leaseMs: config.leaseSeconds * 1000,
      nowMs,
      onExpired: (count) => metrics.leaseExpirations.inc(count),
    }),
    merges: new MergeQueue(stopping, (key, error) => logger.error({ key, err: error }, 'a merge ended badly')),
    threads: new FitThread(),
    metrics,
    opening: new Semaphore(1),
    finalizing: new Map<string, Promise<void>>(),
    stopping,
    findEngine,
  };
  // These work with everything else, one another included.
  const services = facts as typeof facts & { -readonly [Key in keyof Services]: Services[Key] };
  services.served = new ServedCandidates(services);
  services.fronts = new Fronts(services);
  services.answers = new Answers(services);
  services.longAnswers = new LongAnswers(services);
  services.materialiser = new Materialiser(services);
  return services;
}
