/** The coordinator as a value: start it, ask its ports, close it. Reads no environment and installs no signal handlers. */
import { mkdirSync } from 'node:fs';
import type { Logger } from 'pino';
import type { FoundEngine } from '../shared/linalg/linear-algebra.js';
import type { CoordinatorConfig } from './config.js';
import { StudyRunner } from './evaluation/study-runner.js';
import { startGrpc } from './grpc/server.js';
import { startHttp } from './http/server.js';
import { startMaintenance } from './maintenance.js';
import { Merger } from './rounds/merger.js';
import { createServices } from './services.js';
import { openDatabase } from './state/database.js';

export interface Coordinator {
  readonly grpcPort: number;
  readonly httpPort: number;
  /** Stops taking calls, lets those under way end for `graceMs`, keeps every journal, closes the files. */
  close(graceMs?: number): Promise<void>;
}

const DEFAULT_GRACE_MS = 10_000;

/** @param findEngine what factorises matrices; without it the portable engine */
export async function startCoordinator(
  config: CoordinatorConfig,
  logger: Logger,
  findEngine?: () => Promise<FoundEngine>,
): Promise<Coordinator> {
  mkdirSync(config.data, { recursive: true });
  const stopping = new AbortController();
  const db = openDatabase(config.data);
  const services = createServices(config, logger, db, Date.now, stopping.signal, findEngine);
  const merger = new Merger(services);
  const runner = new StudyRunner(services, (spec, history) => services.threads.run('propose', { spec, history }));
  const cleanups: (() => Promise<void> | void)[] = [() => void db.close(), () => services.chunks.close(), () => services.threads.close()];
  try {
    const http = await startHttp(services);
    cleanups.push(() => http.stop());
    const grpc = await startGrpc(services);
    cleanups.push(() => grpc.stop(0));
    merger.start();
    await services.served.start();
    // In this order they hear of measurements: fits know of one before the study may end with it.
    services.fronts.start();
    runner.start();
    services.materialiser.start();
    const stopProgress = services.measured.subscribe(({ round }) => services.notices.touch(round));
    const stopMaintenance = startMaintenance(services);
    grpc.setServing(true);
    http.setReady(true);
    return {
      grpcPort: grpc.port,
      httpPort: http.port,
      close: async (graceMs = DEFAULT_GRACE_MS) => {
        http.setReady(false);
        stopMaintenance();
        stopping.abort();
        stopProgress();
        services.notices.stop();
        merger.stop();
        services.served.stop();
        services.materialiser.stop();
        await services.threads.close();
        await Promise.all([grpc.stop(graceMs), services.merges.stop(), runner.stop(), services.fronts.stop()]);
        cleanups.pop();
        await Promise.allSettled(services.finalizing.values());
        for (const cleanup of cleanups.reverse()) await cleanup();
      },
    };
  } catch (error) {
    for (const cleanup of cleanups.reverse()) await cleanup();
    throw error;
  }
}
