/** What commands that need no coordinator get. Imports neither gRPC nor settings: the start of `merge` counts. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { createIo, type Io, type OutputFormat } from './io.js';

export interface LocalContext {
  readonly io: Io;
  /** --format yaml, where a command knows it. */
  readonly yaml: boolean;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  readonly threads: number;
}

/** @param knowsYaml whether --format yaml makes sense for the command */
export function localContextOf(command: Command, signal: AbortSignal, knowsYaml = false): LocalContext {
  const { format, quiet, threads } = command.optsWithGlobals<{ format: OutputFormat | 'yaml'; quiet: boolean; threads?: number }>();
  if (format === 'yaml' && !knowsYaml)
    throw new TributaryError('USAGE', { what: 'This command has no YAML form', where: '--format', expected: 'table, json', got: format });
  return {
    io: createIo(format === 'yaml' ? 'table' : format, quiet),
    yaml: format === 'yaml',
    signal,
    threads: threads ?? Math.max(1, availableParallelism()),
  };
}
