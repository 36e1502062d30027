/** The `tributary` command as people run it: a process of its own, with its own home. */
import type { ChildProcess } from 'node:child_process';
import { CLI_PATH, cleanEnvironment, spawnTracked, within } from './processes.js';

export interface CliResult {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout parsed, when it is one JSON document. */
  readonly json: unknown;
}

/** What `round show` and its like print with --format json. */
export interface RoundJson {
  readonly name: string;
  readonly state: string;
  readonly model: string | null;
  readonly error: { readonly code: string; readonly what: string } | null;
  readonly contributions: readonly ContributionJson[];
}

export interface ContributionJson {
  readonly contributor: string;
  readonly status: string;
  readonly kind: string;
  readonly reason: { readonly code: string; readonly what: string } | null;
  readonly samples: number | null;
  readonly steps: number | null;
  readonly taskVectorNorm: number;
  readonly totalBytes: number;
  readonly sentBytes: number;
  readonly savedBytes: number;
  readonly weightsDigest: string;
}

export interface PushJson {
  readonly contribution: ContributionJson;
  readonly totalBytes: number;
  readonly sentBytes: number;
  readonly savedBytes: number;
  readonly seconds: number;
}

export interface ModelJson {
  readonly name: string;
  readonly origin: string;
  readonly version: number;
  readonly weightsDigest: string;
  readonly manifestDigest: string;
  readonly tensors: number;
  readonly parameters: number;
  readonly totalBytes: number;
}

export interface PullJson {
  readonly model: ModelJson;
  readonly totalBytes: number;
  readonly savedBytes: number;
}

/** The error document of a command that failed. */
export function errorOf(result: CliResult): {
  code: string;
  details: { what: string; where?: string; expected?: string; got?: string; fix?: string };
} {
  const { error } = (result.json ?? {}) as { error?: ReturnType<typeof errorOf> };
  if (error === undefined) throw new Error(`no error document; exit code ${result.code}\n${result.stdout}\n${result.stderr}`);
  return error;
}

export interface CliOptions {
  readonly home: string;
  readonly server?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** `table` leaves out --format json. */
  readonly format?: 'json' | 'table';
  readonly timeoutMs?: number;
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly result: Promise<CliResult>;
}

const DEFAULT_TIMEOUT_MS = 120_000;

export function startCli(args: readonly string[], options: CliOptions): RunningCli {
  const globals = [
    ...(options.format === 'table' ? [] : ['--format', 'json']),
    ...(options.server === undefined ? [] : ['--server', options.server]),
  ];
  const child = spawnTracked(process.execPath, [CLI_PATH, ...globals, ...args], cleanEnvironment(options.home, options.env));
  return { child, result: collect(child, args, options.timeoutMs ?? DEFAULT_TIMEOUT_MS) };
}

export async function runCli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  return startCli(args, options).result;
}

/** Runs a command that has to succeed. */
export async function cliOk<T>(args: readonly string[], options: CliOptions): Promise<T> {
  const result = await runCli(args, options);
  if (result.code !== 0) throw new Error(`tributary ${args.join(' ')} ended with ${result.code}:\n${result.stderr}`);
  return result.json as T;
}

async function collect(child: ChildProcess, args: readonly string[], timeoutMs: number): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  try {
    const code = await within(timeoutMs, `tributary ${args.join(' ')}`, closed);
    return { code, stdout, stderr, json: parseJson(stdout) };
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${(error as Error).message}\n${stderr}`, { cause: error });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
