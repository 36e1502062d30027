/** What commands that need no coordinator get. Imports neither gRPC nor settings: the start of `merge` counts. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { EngineSetting, FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { createIo, type Io, type OutputFormat } from './io.js';

export interface LocalContext {
  readonly io: Io;
  /** --format yaml, where a command knows it. */
  readonly yaml: boolean;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  readonly threads: number;
  /** For rules on whole matrices; settings and engines are read when it is called. @throws ENGINE_UNAVAILABLE, CONFIG_INVALID */
  readonly findEngine: () => Promise<FoundEngine>;
}

async function findEngine(flags: EngineFlags): Promise<FoundEngine> {
  const [settings, engines] = await Promise.all([import('../settings.js'), import('../../shared/linalg/find-engine.js')]);
  const { engine } = settings.loadSettings({ file: flags.config, environment: process.env, flags: { engine: flags.engine } });
  return engines.findEngine(engine, process.env);
}

interface EngineFlags {
  readonly config?: string;
  readonly engine?: EngineSetting;
}

/** @param knowsYaml whether --format yaml makes sense for the command */
export function localContextOf(command: Command, signal: AbortSignal, knowsYaml = false): LocalContext {
  const flags = command.optsWithGlobals<{ format: OutputFormat | 'yaml'; quiet: boolean; threads?: number } & EngineFlags>();
  const { format, quiet, threads } = flags;
  if (format === 'yaml' && !knowsYaml)
    throw new TributaryError('USAGE', { what: 'This command has no YAML form', where: '--format', expected: 'table, json', got: format });
  return {
    io: createIo(format === 'yaml' ? 'table' : format, quiet),
    yaml: format === 'yaml',
    signal,
    threads: threads ?? Math.max(1, availableParallelism()),
    findEngine: () => findEngine(flags),
  };
}
