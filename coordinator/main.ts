/** Entry point of `tributary coordinator`: the only place here that reads the environment, handles signals and sets the exit code. */
import { pino } from 'pino';
import { EXIT_CODE } from '../shared/errors/catalogue.js';
import { findEngine } from '../shared/linalg/find-engine.js';
import { keepFreedMemory } from '../shared/util/keep-freed-memory.js';
import { VERSION } from '../shared/version.js';
import { loadConfig } from './config.js';
import { startCoordinator } from './coordinator.js';

export interface CoordinatorFlags {
  readonly config?: string;
  readonly data?: string;
  readonly listen?: string;
  readonly http?: string;
  readonly threads?: number;
  readonly logLevel?: string;
  readonly engine?: string;
}

/** Runs until SIGTERM or SIGINT; returns the exit code. Throws TributaryErrors of the start. */
export async function runCoordinator(flags: CoordinatorFlags): Promise<number> {
  keepFreedMemory();
  const { config: file, ...overrides } = flags;
  const config = loadConfig({ file, environment: process.env, flags: overrides });
  const logger = pino({ level: config.logLevel, base: { service: 'coordinator', version: VERSION } });
  const engine = findEngine(config.engine, process.env);
  // One that was asked for by name has to be there; what the best is may take its time.
  if (config.engine !== 'auto') await engine;
  const coordinator = await startCoordinator(config, logger, () => engine);
  const host = (address: string): string => address.slice(0, address.lastIndexOf(':'));
  const grpc = `${host(config.listen)}:${coordinator.grpcPort}`;
  const http = `http://${host(config.http)}:${coordinator.httpPort}`;
  logger.info(
    { event: 'listening', grpc, http, data: config.data, threads: config.threads, tokens: Object.keys(config.tokens).length > 0 },
    'listening',
  );
  engine.then(
    ({ choice, device, library, reason, notes }) =>
      logger[notes.length > 0 ? 'warn' : 'info'](
        { event: 'engine', engine: choice.engine, device, library, reason, notes },
        'linear algebra',
      ),
    (error: unknown) => logger.error({ event: 'engine', err: error }, 'no linear algebra engine'),
  );
  if (process.stderr.isTTY) {
    process.stderr.write(`tributary ${VERSION}: gRPC on ${grpc}, metrics on ${http}/metrics, data in ${config.data}. Ctrl-C stops it.\n`);
  }
  const signal = await new Promise<string>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  logger.info({ event: 'stopping', signal }, 'stopping');
  // A second signal means now.
  process.once('SIGTERM', () => process.exit(EXIT_CODE.interrupted));
  process.once('SIGINT', () => process.exit(EXIT_CODE.interrupted));
  await coordinator.close();
  logger.info({ event: 'stopped' }, 'stopped');
  return EXIT_CODE.ok;
}
