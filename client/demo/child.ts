/** Runs the `tributary` command itself as a process, the way a team would, and reads its JSON. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { deserializeError, type SerializedError, TributaryError } from '../../shared/errors/tributary-error.js';

export interface ChildOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What the command says for people is added to this file. */
  readonly logFile: string;
  readonly signal: AbortSignal;
}

const STOP_WITHIN_MS = 15_000;
const MAIN = new URL('../cli/main.js', import.meta.url).pathname;

export function spawnTributary(args: readonly string[], environment: ChildOptions['environment']) {
  return spawn(process.execPath, [MAIN, ...args], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** The JSON document the command prints. Throws the error it reports. */
export async function runTributary<T>(args: readonly string[], options: ChildOptions): Promise<T> {
  const child = spawnTributary([...args, '--format', 'json'], options.environment);
  const log = createWriteStream(options.logFile, { flags: 'a' });
  log.write(`$ tributary ${args.join(' ')}\n`);
  const kill = (): void => void child.kill('SIGTERM');
  options.signal.addEventListener('abort', kill);
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.pipe(log);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    options.signal.throwIfAborted();
    if (code === 0) return JSON.parse(stdout) as T;
    throw failureOf(args, code, stdout, options.logFile);
  } finally {
    options.signal.removeEventListener('abort', kill);
  }
}

/** Asks the process to end, and after a while makes it. */
export async function stopChild(child: ChildProcess, closed: Promise<unknown>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  await closed;
  clearTimeout(timer);
}

/** A command that runs until it is stopped, or the demo is. */
export function startTributary(args: readonly string[], options: ChildOptions): { stop(): Promise<void> } {
  const child = spawnTributary(args, options.environment);
  const log = createWriteStream(options.logFile, { flags: 'a' });
  log.write(`$ tributary ${args.join(' ')}\n`);
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const kill = (): void => void child.kill('SIGTERM');
  options.signal.addEventListener('abort', kill);
  const closed = once(child, 'close');
  return {
    stop: async () => {
      options.signal.removeEventListener('abort', kill);
      await stopChild(child, closed);
      log.end();
    },
  };
}

function failureOf(args: readonly string[], code: number | null, stdout: string, logFile: string): TributaryError {
  try {
    return deserializeError((JSON.parse(stdout) as { error: SerializedError }).error);
  } catch {
    return new TributaryError('INTERNAL', { what: `tributary ${args.slice(0, 2).join(' ')} ended with exit code ${code}`, where: logFile });
  }
}
