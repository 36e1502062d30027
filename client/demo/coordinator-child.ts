/** A coordinator as a child process on free ports, for the demo. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type ChildOptions, spawnTributary, stopChild } from './child.js';

export interface RunningCoordinator {
  /** HOST:PORT of gRPC, and the URL of the HTTP face. */
  readonly grpc: string;
  readonly http: string;
  stop(): Promise<void>;
}

export async function startCoordinatorProcess(dataDir: string, options: ChildOptions): Promise<RunningCoordinator> {
  const child = spawnTributary(['coordinator', '--data', dataDir, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0'], options.environment);
  const log = createWriteStream(options.logFile, { flags: 'a' });
  child.stderr.pipe(log);
  const exited = once(child, 'close');
  const stop = (): Promise<void> => stopChild(child, exited);
  const listening = new Promise<{ grpc: string; http: string }>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.write(`${line}\n`);
      const entry = JSON.parse(line) as { event?: string; grpc: string; http: string };
      if (entry.event === 'listening') resolve(entry);
    });
    exited.then(
      () =>
        reject(
          new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'The coordinator stopped right after its start', where: options.logFile }),
        ),
      reject,
    );
  });
  const { grpc, http } = await listening;
  return { grpc, http, stop };
}
