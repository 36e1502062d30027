/** agent.yaml: which coordinator, under which name, what can be measured and how. An unknown key is an error, never ignored. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type EvaluatorConfig, evaluatorSchema } from '../evaluate/evaluator-config.js';
import type { CacheLimits } from './prune-cache.js';

/** A year, far below what milliseconds can count. */
const MAX_WAIT_SECONDS = 365 * 24 * 3600;
const DAY_MS = 24 * 3600 * 1000;

const schema = z.strictObject({
  /** As in the client's own config file; flags and TRIBUTARY_* variables win. */
  server: z.string().optional(),
  token: z.string().optional(),
  tls: z.strictObject({ ca: z.string().optional(), cert: z.string().optional(), key: z.string().optional() }).optional(),
  /** What the map block of a recipe knows this agent by; default: the contributor. */
  agent: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, ".", "_" and "-", beginning with a letter or digit, at most 63')
    .optional(),
  /** Default: every round that wants one of the tasks. */
  rounds: z.array(z.string().min(1)).min(1).optional(),
  /** Keeps what is fetched, candidates and logs; relative to the folder of this file. */
  work: z.string().min(1).optional(),
  /** Candidates at a time; each has a folder of its own. */
  parallel: z.int().min(1).max(64).default(1),
  /** Logs of evaluations: the newest so many stay. */
  keep_logs: z.int().min(0).default(200),
  /** Bases and contributions stay fetched for so many days after their last use, and as long as an open study needs them. */
  cache_days: z.number().min(0).default(30),
  /** So many GB (10^9 bytes) of them at most, the least recently used go first; what open studies need stays. Default: no limit. */
  cache_gb: z.number().positive().optional(),
  /** End when no round wants anything any more. */
  once: z.boolean().default(false),
  /** With once: end when the coordinator has not answered for so long. */
  give_up_after_seconds: z.number().min(0).max(MAX_WAIT_SECONDS).default(600),
  tasks: z.record(z.string().min(1), evaluatorSchema).refine((tasks) => Object.keys(tasks).length > 0, 'no task is named'),
});

export interface AgentConfig {
  /** For the settings of the connection. */
  readonly connection: Readonly<Record<'server' | 'token' | 'tls', unknown>>;
  readonly agent: string | undefined;
  readonly rounds: readonly string[] | undefined;
  /** Absolute. */
  readonly work: string | undefined;
  readonly parallel: number;
  readonly keepLogs: number;
  readonly cacheLimits: CacheLimits;
  readonly once: boolean;
  readonly giveUpAfterMs: number;
  readonly tasks: ReadonlyMap<string, EvaluatorConfig>;
  /** Where relative paths of evaluators start from. */
  readonly folder: string;
}

function read(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new TributaryError('CONFIG_INVALID', { what: 'The config file of the agent cannot be read', where: path }, { cause: error });
  }
  try {
    return parse(text) ?? {};
  } catch (error) {
    const what = `The config file of the agent is not YAML: ${(error as Error).message}`;
    throw new TributaryError('CONFIG_INVALID', { what, where: path }, { cause: error });
  }
}

/** Keys that exist where an unknown one was found: those of the whole file, or nothing known of a task. */
const knownAt = (path: readonly PropertyKey[]): string | undefined =>
  path.length === 0 ? `one of ${Object.keys(schema.shape).join(', ')}` : undefined;

/** @throws CONFIG_INVALID naming the key */
export function loadAgentConfig(path: string): AgentConfig {
  const result = schema.safeParse(read(path));
  if (!result.success) {
    const issue = result.error.issues[0];
    const at = issue?.path ?? [];
    const key = at.map(String).join('.');
    const unknown = issue?.code === 'unrecognized_keys' ? issue.keys : [];
    throw new TributaryError('CONFIG_INVALID', {
      what:
        unknown.length > 0
          ? `Unknown key ${unknown.map((one) => (key === '' ? one : `${key}.${one}`)).join(', ')}`
          : `${key === '' ? 'the file' : key}: ${issue?.message}`,
      where: path,
      expected: unknown.length > 0 ? knownAt(at) : undefined,
      fix: 'Correct it and try again.',
    });
  }
  const { server, token, tls, agent, rounds, work, parallel, keep_logs: keepLogs, once, tasks } = result.data;
  const { cache_days: days, cache_gb: gigabytes = Infinity, give_up_after_seconds: giveUpAfterSeconds } = result.data;
  const folder = dirname(resolve(path));
  return {
    connection: { server, token, tls },
    agent,
    rounds,
    work: work === undefined ? undefined : resolve(folder, work),
    parallel,
    keepLogs,
    cacheLimits: { sizeBytes: gigabytes * 1e9, unusedMs: days * DAY_MS },
    once,
    giveUpAfterMs: giveUpAfterSeconds * 1000,
    tasks: new Map(Object.entries(tasks)),
    folder,
  };
}
