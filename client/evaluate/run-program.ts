/**
 * Runs one program of an evaluation as a process group. Whatever it prints costs bounded memory: everything goes to the log (up to a limit), the end
 * of stdout is kept. When this function returns, no process of the group is left: the next candidate's files may be written.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { ByteTail } from './byte-tail.js';
import { throwIfStopped } from './retrying.js';

export interface Program {
  /** Words: run as they are. A text: run by the shell. */
  readonly command: string | readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logFile: string;
  readonly signal: AbortSignal;
  /** How long a program may take to end by itself after SIGTERM; default 5 s. */
  readonly graceMs?: number | undefined;
}

export interface ProgramResult {
  /** The end of what it printed, at most STDOUT_BYTES. */
  readonly stdout: string;
  /** Its exit code, or the signal that killed it. */
  readonly ended: number | NodeJS.Signals;
  /** The last lines of stdout and stderr together. */
  readonly lastLines: string;
}

const STDOUT_BYTES = 4 * 1024 * 1024;
const LOG_BYTES = 64 * 1024 * 1024;
const LAST_BYTES = 4096;
const LAST_LINES = 12;
const GRACE_MS = 5000;

/** @throws EVALUATOR_UNAVAILABLE (no such program), INTERRUPTED or the signal's reason, after every process of the group has ended */
export async function runProgram(program: Program): Promise<ProgramResult> {
  throwIfStopped(program.signal);
  const child = start(program);
  const output = new OutputKeeper(child, program.logFile);
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const graceMs = program.graceMs ?? GRACE_MS;
  const stopped = stopOnSignal(child, program.signal, graceMs);
  try {
    const [code, killedBy] = await ended;
    await closeGroup(child, graceMs);
    throwIfStopped(program.signal);
    return { stdout: output.stdout.toString(), ended: code ?? killedBy ?? 1, lastLines: output.lastLines() };
  } catch (error) {
    throw unavailable(error, program) ?? error;
  } finally {
    stopped.dispose();
    await output.close();
  }
}

function start({ command, folder, environment }: Program): ChildProcess {
  const [file = '', ...args] = typeof command === 'string' ? [command] : command;
  const shell = typeof command === 'string';
  return spawn(file, args, { cwd: folder, env: environment, detached: true, shell, stdio: ['ignore', 'pipe', 'pipe'] });
}

function unavailable(error: unknown, { command, folder }: Program): TributaryError | undefined {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall?.startsWith('spawn') !== true) return undefined;
  const name = typeof command === 'string' ? 'the shell' : command[0];
  return new TributaryError(
    'EVALUATOR_UNAVAILABLE',
    {
      what: `the program ${name} cannot be started (${code})`,
      where: folder,
      fix: 'Check that it is installed, that its name or path is right, and that the folder exists.',
    },
    { cause: error },
  );
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // Gone already; some systems say EPERM of a group of which only its dead leader is left.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}

/** SIGTERM to the whole group, and SIGKILL when that did not end it. */
function stopOnSignal(child: ChildProcess, signal: AbortSignal, graceMs: number): { dispose: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    signalGroup(child, 'SIGTERM');
    timer = setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs);
  };
  signal.addEventListener('abort', stop, { once: true });
  return {
    dispose: () => {
      signal.removeEventListener('abort', stop);
      clearTimeout(timer);
    },
  };
}

/** The program is gone; what it started in the background gets the grace to finish writing, then is killed. */
async function closeGroup(child: ChildProcess, graceMs: number): Promise<void> {
  await closeStreams(child, graceMs);
  signalGroup(child, 'SIGKILL');
  await closeStreams(child, graceMs);
  // A process that left the group may still hold them.
  child.stdout?.destroy();
  child.stderr?.destroy();
}

/** Waits for the end of both streams, at most so long. */
async function closeStreams(child: ChildProcess, mostMs: number): Promise<void> {
  const enough = new AbortController();
  const { signal } = enough;
  const closed = [child.stdout, child.stderr].flatMap((stream) => (stream?.closed === false ? [once(stream, 'close', { signal })] : []));
  const all = Promise.all(closed).catch(() => undefined);
  await Promise.race([all, sleep(mostMs, undefined, { signal }).catch(() => undefined)]);
  enough.abort();
}

/** Copies both streams to the log, no faster than the disk takes them. */
class OutputKeeper {
  readonly stdout = new ByteTail(STDOUT_BYTES);
  readonly #both = new ByteTail(LAST_BYTES);
  readonly #log: ReturnType<typeof createWriteStream>;
  #logged = 0;

  constructor(child: ChildProcess, logFile: string) {
    this.#log = createWriteStream(logFile, { flags: 'a' });
    const streams = [child.stdout, child.stderr];
    // `close` reports it; until then nobody waits for a log that cannot be written.
    this.#log.on('error', () => {
      for (const stream of streams) stream?.resume();
    });
    for (const stream of streams) {
      stream?.on('data', (bytes: Buffer) => {
        if (stream === child.stdout) this.stdout.push(bytes);
        this.#both.push(bytes);
        if (this.#write(bytes)) return;
        stream.pause();
        this.#log.once('drain', () => stream.resume());
      });
    }
  }

  #write(bytes: Buffer): boolean {
    const room = LOG_BYTES - this.#logged;
    this.#logged += bytes.length;
    if (room <= 0 || this.#log.errored !== null) return true;
    return this.#log.write(bytes.length <= room ? bytes : bytes.subarray(0, room));
  }

  lastLines(): string {
    return this.#both.toString().trimEnd().split('\n').slice(-LAST_LINES).join('\n');
  }

  async close(): Promise<void> {
    if (this.#logged > LOG_BYTES) this.#log.write(`\n... ${this.#logged - LOG_BYTES} bytes left out; the end:\n${this.lastLines()}\n`);
    this.#log.end();
    await finished(this.#log);
  }
}
