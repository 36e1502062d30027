/** What commands that talk to a coordinator get. */
import type { Command } from 'commander';
import type { EngineSetting } from '../../shared/linalg/linear-algebra.js';
import { type Connection, connect } from '../api/connection.js';
import type { Patience } from '../api/retry.js';
import { type ClientSettings, loadSettings } from '../settings.js';
import { type LocalContext, localContextOf } from './local-context.js';
import { formatSeconds } from './units.js';

interface GlobalFlags {
  readonly server?: string;
  readonly token?: string;
  readonly config?: string;
  readonly tlsCa?: string;
  readonly patience?: number;
  readonly engine?: EngineSetting;
}

export interface CommandContext extends LocalContext {
  readonly settings: ClientSettings;
  readonly patience: Patience;
}

/** @param values settings from a file of the command's own, which --config then names */
export function contextOf(
  command: Command,
  signal: AbortSignal,
  contributor?: string,
  values?: Readonly<Record<string, unknown>>,
): CommandContext {
  const flags = command.optsWithGlobals<GlobalFlags>();
  const local = localContextOf(command, signal);
  const settings = loadSettings({
    file: values === undefined ? flags.config : undefined,
    values,
    environment: process.env,
    flags: {
      server: flags.server,
      token: flags.token,
      contributor,
      tlsCa: flags.tlsCa,
      patienceSeconds: flags.patience,
      engine: flags.engine,
    },
  });
  return {
    ...local,
    settings,
    findEngine:
      values === undefined
        ? local.findEngine
        : async () => (await import('../../shared/linalg/find-engine.js')).findEngine(settings.engine, process.env),
    patience: {
      withoutProgressMs: settings.patienceSeconds * 1000,
      signal,
      onRetry: (error, inMs) => local.io.note(`${error.details.what}; trying again in ${formatSeconds(inMs / 1000)}`),
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
