/** Runs the `tributary` command itself as a process, the way a team would, and reads its JSON. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { deserializeError, type SerializedError, TributaryError } from '../../shared/errors/tributary-error.js';

export interface ChildOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What the command says for people is added to this file. */
  readonly logFile: string;
  readonly signal: AbortSignal;
}

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

function failureOf(args: readonly string[], code: number | null, stdout: string, logFile: string): TributaryError {
  try {
    return deserializeError((JSON.parse(stdout) as { error: SerializedError }).error);
  } catch {
    return new TributaryError('INTERNAL', { what: `tributary ${args.slice(0, 2).join(' ')} ended with exit code ${code}`, where: logFile });
  }
}
