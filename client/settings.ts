/** Where the coordinator is and who we are: config file, then TRIBUTARY_* variables, then flags; the later wins. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { TributaryError } from '../shared/errors/tributary-error.js';
import { ENGINE_SETTINGS, type EngineSetting } from '../shared/linalg/linear-algebra.js';

const schema = z.strictObject({
  /** HOST:PORT of the coordinator. */
  server: z.string().default('127.0.0.1:7070'),
  token: z.string().optional(),
  /** Who pushes count for. */
  contributor: z.string().optional(),
  /** PEM files; `{}` means TLS with the system's authorities. */
  tls: z.strictObject({ ca: z.string().optional(), cert: z.string().optional(), key: z.string().optional() }).optional(),
  /** Seconds to keep trying while the coordinator cannot be reached. */
  patienceSeconds: z.number().min(0).default(120),
  /** What factorises matrices. */
  engine: z.enum(ENGINE_SETTINGS).default('auto'),
});

export type ClientSettings = z.infer<typeof schema>;

export interface SettingsSources {
  /** Named by the user; it must exist. */
  readonly file?: string | undefined;
  /** Of another file with more in it (agent.yaml), before environment and flags. */
  readonly values?: Readonly<Record<string, unknown>> | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<{
    server?: string | undefined;
    token?: string | undefined;
    contributor?: string | undefined;
    tlsCa?: string | undefined;
    patienceSeconds?: number | undefined;
    engine?: EngineSetting | undefined;
  }>;
}

/** Throws CONFIG_INVALID naming the key and where it came from. */
export function loadSettings(sources: SettingsSources): ClientSettings {
  const { environment, flags } = sources;
  const file = sources.file ?? environment['TRIBUTARY_CONFIG'];
  const path = file ?? defaultConfigPath(environment);
  const fromFile = readSettings(path, file !== undefined);
  const ca = flags.tlsCa ?? environment['TRIBUTARY_TLS_CA'];
  const patience = environment['TRIBUTARY_PATIENCE_SECONDS'];
  const merged = {
    ...fromFile,
    ...defined({ ...sources.values }),
    ...defined({
      server: environment['TRIBUTARY_SERVER'],
      token: environment['TRIBUTARY_TOKEN'],
      contributor: environment['TRIBUTARY_CONTRIBUTOR'],
      patienceSeconds: patience === undefined ? undefined : Number(patience),
      engine: environment['TRIBUTARY_ENGINE'],
    }),
    ...defined({
      server: flags.server,
      token: flags.token,
      contributor: flags.contributor,
      patienceSeconds: flags.patienceSeconds,
      engine: flags.engine,
    }),
    ...(ca === undefined ? {} : { tls: { ...((sources.values?.['tls'] ?? fromFile['tls']) as object | undefined), ca } }),
  };
  const result = schema.safeParse(merged);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const keys = issue?.code === 'unrecognized_keys' ? issue.keys : [];
  throw new TributaryError('CONFIG_INVALID', {
    what: keys.length > 0 ? `Unknown key ${keys.join(', ')}` : `${issue?.path.join('.')}: ${issue?.message}`,
    where: keys.length > 0 ? path : `${path}, TRIBUTARY_* variables and flags`,
    expected: keys.length > 0 ? `one of ${Object.keys(schema.shape).join(', ')}` : undefined,
    fix: 'Correct it and try again.',
  });
}

export function defaultConfigPath(environment: Readonly<Record<string, string | undefined>>): string {
  const home = environment['XDG_CONFIG_HOME'] ?? join(environment['HOME'] ?? '.', '.config');
  return join(home, 'tributary', 'config.yaml');
}

/** Where digests of pushed files are remembered. */
export function cacheDir(environment: Readonly<Record<string, string | undefined>>): string {
  return join(environment['XDG_CACHE_HOME'] ?? join(environment['HOME'] ?? '.', '.cache'), 'tributary');
}

function readSettings(path: string, required: boolean): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (!required && (error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new TributaryError('CONFIG_INVALID', { what: 'The config file cannot be read', where: path }, { cause: error });
  }
  let value: unknown;
  try {
    value = parse(text) ?? {};
  } catch (error) {
    throw new TributaryError(
      'CONFIG_INVALID',
      { what: `The config file is not YAML: ${(error as Error).message}`, where: path },
      { cause: error },
    );
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new TributaryError('CONFIG_INVALID', { what: 'The config file is not a mapping', where: path, expected: 'key: value lines' });
}

function defined<T extends Record<string, unknown>>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== '')) as Partial<T>;
}
