/** A real coordinator in a process of its own, to be killed and started again on the same ports and data. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { CLI_PATH, cleanEnvironment, spawnTracked, within } from './processes.js';

export interface CoordinatorOptions {
  readonly dataDir: string;
  /** Stands for HOME; its config folder is empty. */
  readonly home: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** KiB of `ulimit -f`: no file may grow beyond it. */
  readonly fileLimitKib?: number;
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg?: string; readonly event?: string };

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

const START_TIMEOUT_MS = 30_000;
const EXIT_TIMEOUT_MS = 30_000;

export class CoordinatorProcess {
  readonly #options: CoordinatorOptions;
  #child: ChildProcess | undefined;
  #exit: Promise<Exit> | undefined;
  #listening: LogLine | undefined;
  #watchers: ((line: LogLine) => void)[] = [];
  /** Everything logged since the first start. */
  readonly log: LogLine[] = [];
  grpcPort = 0;
  httpPort = 0;

  private constructor(options: CoordinatorOptions) {
    this.#options = options;
  }

  static async start(options: CoordinatorOptions): Promise<CoordinatorProcess> {
    const coordinator = new CoordinatorProcess(options);
    await coordinator.start();
    return coordinator;
  }

  get address(): string {
    return `127.0.0.1:${this.grpcPort}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** First time on free ports, later on the same ones. */
  async start(): Promise<void> {
    const { dataDir, home, args = [], env, fileLimitKib } = this.#options;
    const command = [
      CLI_PATH,
      '--quiet',
      'coordinator',
      '--data',
      dataDir,
      '--listen',
      this.address,
      '--http',
      `127.0.0.1:${this.httpPort}`,
      ...args,
    ];
    const child =
      fileLimitKib === undefined
        ? spawnTracked(process.execPath, command, cleanEnvironment(home, env))
        : spawnTracked(
            '/bin/sh',
            ['-c', `ulimit -f ${fileLimitKib * 2}; trap '' XFSZ; exec "$@"`, 'sh', process.execPath, ...command],
            cleanEnvironment(home, env),
          );
    this.#child = child;
    this.#listening = undefined;
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    this.#exit = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal, stderr })));
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => this.#onLine(line));
    const exited = this.#exit.then(({ code, signal }) => {
      if (this.#listening === undefined) throw new Error(`the coordinator ended before it listened (${code ?? signal}):\n${stderr}`);
    });
    const listening = this.waitForLog((line) => line.event === 'listening', START_TIMEOUT_MS);
    await Promise.race([exited.then(() => listening), listening]);
    const { grpc, http } = this.#listening as unknown as { grpc: string; http: string };
    this.grpcPort = Number(grpc.slice(grpc.lastIndexOf(':') + 1));
    this.httpPort = Number(http.slice(http.lastIndexOf(':') + 1));
  }

  /** The next line from now on that fits. */
  async waitForLog(fits: (line: LogLine) => boolean, timeoutMs = START_TIMEOUT_MS): Promise<LogLine> {
    let watcher: (line: LogLine) => void = () => {};
    const found = new Promise<LogLine>((resolve) => {
      watcher = (line) => {
        if (fits(line)) resolve(line);
      };
      this.#watchers.push(watcher);
    });
    try {
      return await within(timeoutMs, 'a log line of the coordinator', found);
    } finally {
      this.#watchers = this.#watchers.filter((other) => other !== watcher);
    }
  }

  /** Sends the signal and waits until the process is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.#child?.kill(signal);
    return within(EXIT_TIMEOUT_MS, 'the end of the coordinator', this.#exit as Promise<Exit>);
  }

  async killAndRestart(): Promise<void> {
    await this.kill('SIGKILL');
    await this.start();
  }

  async http(path: string): Promise<{ status: number; text: string }> {
    const response = await fetch(`http://127.0.0.1:${this.httpPort}${path}`, { signal: AbortSignal.timeout(10_000) });
    return { status: response.status, text: await response.text() };
  }

  /** Value of one sample of /metrics, `name` with its labels if it has some. */
  async metric(name: string): Promise<number> {
    const { text } = await this.http('/metrics');
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
    if (line === undefined) throw new Error(`no sample ${name} in\n${text}`);
    return Number(line.slice(name.length + 1));
  }

  #onLine(text: string): void {
    let line: LogLine;
    try {
      line = JSON.parse(text) as LogLine;
    } catch {
      line = { msg: text };
    }
    this.log.push(line);
    if (line.event === 'listening') this.#listening = line;
    for (const watcher of this.#watchers) watcher(line);
  }
}
