/** What commands that need no coordinator get. Imports neither gRPC nor settings: the start of `merge` counts. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { createIo, type Io, type OutputFormat } from './io.js';

export interface LocalContext {
  readonly io: Io;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  readonly threads: number;
}

export function localContextOf(command: Command, signal: AbortSignal): LocalContext {
  const flags = command.optsWithGlobals<{ format: OutputFormat; quiet: boolean; threads?: number }>();
  return { io: createIo(flags.format, flags.quiet), signal, threads: flags.threads ?? Math.max(1, availableParallelism()) };
}
