/** What the handlers work with. Built once by coordinator.ts; no module keeps state of its own outside of it. */
import type { Logger } from 'pino';
import type { FoundEngine } from '../shared/linalg/linear-algebra.js';
import { Semaphore } from '../shared/util/semaphore.js';
import type { CoordinatorConfig } from './config.js';
import { ModelStore } from './models/model-store.js';
import { Names } from './models/names.js';
import { RoundHub } from './rounds/round-hub.js';
import { RoundStore } from './rounds/round-store.js';
import type { Database } from './state/database.js';
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
  readonly hub: RoundHub;
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
  return {
    config,
    logger,
    nowMs,
    db,
    chunks: new ChunkStore(db, config.data, nowMs),
    models,
    names: new Names(models, rounds),
    rounds,
    uploads: new UploadStore(db, nowMs),
    hub,
    metrics: createMetrics({ rounds: () => rounds.countByState(), contributions: () => rounds.countContributions() }),
    opening: new Semaphore(1),
    finalizing: new Map(),
    stopping,
    findEngine,
  };
}
