/** What every command gets: its output, its settings, and a signal that Ctrl-C aborts. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { connect, type Connection } from '../api/connection.js';
import type { Patience } from '../api/retry.js';
import { type ClientSettings, loadSettings } from '../settings.js';
import { createIo, type Io, type OutputFormat } from './io.js';
import { formatSeconds } from './units.js';

export interface GlobalFlags {
  readonly server?: string;
  readonly token?: string;
  readonly config?: string;
  readonly tlsCa?: string;
  readonly patience?: number;
  readonly format: OutputFormat;
  readonly quiet: boolean;
  readonly threads?: number;
}

export interface CommandContext {
  readonly io: Io;
  readonly settings: ClientSettings;
  readonly signal: AbortSignal;
  readonly threads: number;
  readonly patience: Patience;
}

export function contextOf(command: Command, signal: AbortSignal, contributor?: string): CommandContext {
  const flags = command.optsWithGlobals<GlobalFlags>();
  const io = createIo(flags.format, flags.quiet);
  const settings = loadSettings({
    file: flags.config,
    environment: process.env,
    flags: { server: flags.server, token: flags.token, contributor, tlsCa: flags.tlsCa, patienceSeconds: flags.patience },
  });
  return {
    io,
    settings,
    signal,
    threads: flags.threads ?? Math.max(1, availableParallelism()),
    patience: {
      withoutProgressMs: settings.patienceSeconds * 1000,
      signal,
      onRetry: (error, inMs) => io.note(`${error.details.what}; trying again in ${formatSeconds(inMs / 1000)}`),
    },
  };
}

/** Runs `body` with a connection and closes it. */
export async function withConnection<T>(context: CommandContext, body: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = connect(context.settings);
  try {
    return await body(connection);
  } finally {
    connection.close();
  }
}
