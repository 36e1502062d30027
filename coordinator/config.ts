/** The coordinator's settings. Defaults, then the file, then TRIBUTARY_* variables, then flags; the later wins. Unknown keys are errors. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { TributaryError, toTributaryError } from '../shared/errors/tributary-error.js';
import { ENGINE_SETTINGS } from '../shared/linalg/linear-algebra.js';

const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:]+):\d{1,5}$/, 'expected HOST:PORT')
  .describe('HOST:PORT; port 0 takes a free one');

const schema = z.strictObject({
  /** Folder for everything the coordinator keeps. */
  data: z.string().default('tributary-data'),
  /** gRPC address. */
  listen: address.default('127.0.0.1:7070'),
  /** Address of /metrics, /healthz and /readyz. */
  http: address.default('127.0.0.1:7071'),
  /** Worker threads of merges and checks. */
  threads: z.int().min(1).max(256).default(Math.max(1, availableParallelism())),
  /** Parallel Write streams a client is told to use. */
  maxStreams: z.int().min(1).max(32).default(4),
  /** What factorises matrices: the best that loads, or one by name. */
  engine: z.enum(ENGINE_SETTINGS).default('auto'),
  /** How long after its deadline a round waits for uploads that were under way. */
  graceSeconds: z.number().min(0).default(300),
  /** How long an agent may be silent before its measurements are handed to others. */
  leaseSeconds: z.int().min(1).max(86_400).default(60),
  /** Bytes of disk never given to uploads. */
  reserveBytes: z
    .int()
    .min(0)
    .default(256 * 1024 * 1024),
  /** Contributor (or `operator`) to secret. Empty: anyone may call and is who they say. */
  tokens: z.record(z.string(), z.string().min(8, 'expected a token of at least 8 characters')).default({}),
  /** PEM files. Without them the coordinator speaks plain HTTP/2. */
  tls: z.strictObject({ cert: z.string(), key: z.string(), clientCa: z.string().optional() }).optional(),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

export type CoordinatorConfig = z.infer<typeof schema>;

export interface ConfigSources {
  readonly file?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<Record<string, unknown>>;
}

const VARIABLES: Readonly<Record<string, { key: string; number?: true }>> = {
  TRIBUTARY_DATA: { key: 'data' },
  TRIBUTARY_LISTEN: { key: 'listen' },
  TRIBUTARY_HTTP: { key: 'http' },
  TRIBUTARY_THREADS: { key: 'threads', number: true },
  TRIBUTARY_ENGINE: { key: 'engine' },
  TRIBUTARY_LOG_LEVEL: { key: 'logLevel' },
};

/** Throws CONFIG_INVALID naming the key, what was expected and where it came from. */
export function loadConfig(sources: ConfigSources): CoordinatorConfig {
  const fromFile = sources.file === undefined ? {} : readConfigFile(sources.file);
  const fromEnvironment: Record<string, unknown> = {};
  for (const [variable, { key, number }] of Object.entries(VARIABLES)) {
    const value = sources.environment[variable];
    if (value !== undefined && value !== '') fromEnvironment[key] = number === true ? Number(value) : value;
  }
  const flags = Object.fromEntries(Object.entries(sources.flags).filter(([, value]) => value !== undefined));
  const result = schema.safeParse({ ...fromFile, ...fromEnvironment, ...flags });
  if (!result.success) {
    const issue = result.error.issues[0];
    const keys = issue?.code === 'unrecognized_keys' ? issue.keys : [];
    throw new TributaryError('CONFIG_INVALID', {
      what: keys.length > 0 ? `Unknown key ${keys.join(', ')}` : `${issue?.path.join('.') || 'configuration'}: ${issue?.message}`,
      where: sources.file ?? 'flags and TRIBUTARY_* variables',
      expected: keys.length > 0 ? `one of ${Object.keys(schema.shape).join(', ')}` : undefined,
      fix: 'Correct it and start again.',
    });
  }
  return Object.freeze({ ...result.data, data: resolve(result.data.data) });
}

function readConfigFile(path: string): Record<string, unknown> {
  try {
    const value: unknown = parse(readFileSync(path, 'utf8')) ?? {};
    if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    const cause = toTributaryError(error, path);
    throw new TributaryError(
      'CONFIG_INVALID',
      { what: 'The configuration file cannot be read', where: path, got: cause.message },
      { cause: error },
    );
  }
  throw new TributaryError('CONFIG_INVALID', {
    what: 'The configuration file is not a mapping',
    where: path,
    expected: 'key: value lines',
  });
}
