/**
 * `npm run bench -- transfer [--quick] [--only a,b,...]`: how fast weights move, beside what the line and the disk allow and what Flower
 * does. Whole processes on this machine; every push is durable when it counts.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CliResult, type PullJson, type PushJson, startCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { startDelayProxy } from '../support/delay-proxy.js';
import { cleanEnvironment, killLeftovers, spawnTracked } from '../support/processes.js';
import { writeWeights } from './bulk-weights.js';
import { median } from './measure.js';

/**
 * Flower 1.41.0, one client, 1 GiB of float32 over loopback on 2 cores, from arrays ready to the server app holding them: measured by us
 * with the same kind of machine, verified by checksum. Four clients of 256 MiB together: 48 to 53 MB/s. Peak memory is the server app's.
 */
const FLOWER = { pushMBps: '42 to 55', fourClientsMBps: '48 to 53', peakGB: '3.3' };

const MEBI = 1024 * 1024;
const CHUNK_BYTES = 4 * MEBI;
const HTTP2_FLOOR = fileURLToPath(new URL('./http2-floor.js', import.meta.url));

interface Sizes {
  readonly pushBytes: number;
  readonly fourBytes: number;
  readonly eightBytes: number;
  readonly farBytes: number;
  readonly repetitions: number;
}

const FULL: Sizes = { pushBytes: 1024 * MEBI, fourBytes: 256 * MEBI, eightBytes: 1000 * MEBI, farBytes: 512 * MEBI, repetitions: 3 };
const QUICK: Sizes = { pushBytes: 256 * MEBI, fourBytes: 64 * MEBI, eightBytes: 128 * MEBI, farBytes: 128 * MEBI, repetitions: 1 };

interface Push {
  /** From the start of the process to its end. */
  readonly wholeSeconds: number;
  /** From Begin to the last chunk durable. */
  readonly transferSeconds: number;
  /** From Finalize to the verdict. */
  readonly verdictSeconds: number;
  readonly sentBytes: number;
}

export async function benchTransfer(args: readonly string[]): Promise<void> {
  const sizes = args.includes('--quick') ? QUICK : FULL;
  const only = args[args.indexOf('--only') + 1]?.split(',') ?? [];
  const wanted = (part: string): boolean => !args.includes('--only') || only.includes(part);
  const folder = mkdtempSync(resolve('.tributary-bench-'));
  try {
    if (wanted('floors')) await printFloors(folder, sizes);
    if (wanted('push')) await printPush(folder, sizes);
    if (wanted('four')) await printTogether(folder, sizes.fourBytes, 4, sizes.repetitions, `Flower: ${FLOWER.fourClientsMBps} MB/s in all`);
    if (wanted('far')) await printFar(folder, sizes);
    if (wanted('eight'))
      await printTogether(folder, sizes.eightBytes, 8, 1, `Flower's server app with one client of 1 GiB: ${FLOWER.peakGB} GB`);
  } finally {
    await killLeftovers();
    rmSync(folder, { recursive: true, force: true });
  }
}

function print(what: string, figure: string, beside = ''): void {
  console.log(`${what.padEnd(58)} ${figure.padStart(14)}   ${beside}`.trimEnd());
}

function rate(bytes: number, seconds: number): string {
  return `${(bytes / seconds / 1e6).toFixed(0)} MB/s`;
}

async function printFloors(folder: string, sizes: Sizes): Promise<void> {
  const server = spawnTracked(process.execPath, [HTTP2_FLOOR, 'server'], cleanEnvironment(folder));
  const [port] = (await once(server.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  const seconds: number[] = [];
  for (let turn = 0; turn < sizes.repetitions; turn++) {
    const client = spawnTracked(
      process.execPath,
      [HTTP2_FLOOR, 'client', port.toString().trim(), `${sizes.pushBytes}`],
      cleanEnvironment(folder),
    );
    const [printed] = (await once(client.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    seconds.push(Number(printed.toString()));
    await once(client, 'close');
  }
  server.kill('SIGKILL');
  print('floor: raw HTTP/2 over loopback, bytes thrown away', rate(sizes.pushBytes, median(seconds)));
  const disk: number[] = [];
  for (let turn = 0; turn < sizes.repetitions; turn++) disk.push(await writeDurably(join(folder, 'disk'), sizes.pushBytes / 2));
  print('floor: 4 MiB files written and fsynced, 4 at a time', rate(sizes.pushBytes / 2, median(disk)));
}

/** Seconds to write that many bytes in chunk files, four at a time, each synced. */
async function writeDurably(folder: string, bytes: number): Promise<number> {
  mkdirSync(folder, { recursive: true });
  const content = Buffer.alloc(CHUNK_BYTES, 7);
  let left = Math.ceil(bytes / CHUNK_BYTES);
  const lane = async (): Promise<void> => {
    while (left > 0) {
      const file = await open(join(folder, `${left--}`), 'w');
      await file.write(content);
      await file.sync();
      await file.close();
    }
  };
  const started = performance.now();
  await Promise.all([lane(), lane(), lane(), lane()]);
  const seconds = (performance.now() - started) / 1000;
  rmSync(folder, { recursive: true });
  return seconds;
}

async function withCoordinator<T>(folder: string, body: (coordinator: CoordinatorProcess) => Promise<T>): Promise<T> {
  const dataDir = join(folder, 'data');
  const coordinator = await CoordinatorProcess.start({ dataDir, home: folder, args: ['--log-level', 'info'] });
  try {
    return await body(coordinator);
  } finally {
    await coordinator.kill('SIGTERM');
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** A whole `base push`; `home` keeps the digests of files hashed before. */
async function pushBase(server: string, home: string, checkpoint: string, name: string): Promise<Push> {
  const started = performance.now();
  const running = startCli(['base', 'push', checkpoint, '--name', name], { home, server, timeoutMs: 600_000 });
  let verdictFrom = 0;
  running.child.stderr?.on('data', (text: string) => {
    if (text.includes('admission verdict')) verdictFrom = performance.now();
  });
  const result = await running.result;
  const wholeSeconds = (performance.now() - started) / 1000;
  const { seconds, sentBytes } = jsonOf<PushJson>(result);
  const verdictSeconds = Math.max(0, wholeSeconds - (verdictFrom - started) / 1000);
  return { wholeSeconds, verdictSeconds, transferSeconds: Math.max(0.001, seconds - verdictSeconds), sentBytes };
}

function jsonOf<T>(result: CliResult): T {
  if (result.code !== 0) throw new Error(result.stderr);
  return result.json as T;
}

async function printPush(folder: string, sizes: Sizes): Promise<void> {
  const bytes = sizes.pushBytes;
  const checkpoint = writeWeights(join(folder, 'push'), bytes, 1);
  const pushes: Push[] = [];
  const again: Push[] = [];
  const pulls: number[] = [];
  for (let turn = 0; turn < sizes.repetitions; turn++) {
    const home = join(folder, `home-${turn}`);
    await withCoordinator(folder, async ({ address }) => {
      pushes.push(await pushBase(address, home, checkpoint, 'model'));
      await pushBase(address, home, checkpoint, 'model');
      again.push(await pushBase(address, home, checkpoint, 'model'));
      const out = join(folder, 'out');
      const started = performance.now();
      jsonOf<PullJson>(await startCli(['pull', 'model', '--out', out], { home, server: address, timeoutMs: 600_000 }).result);
      pulls.push((performance.now() - started) / 1000);
      rmSync(out, { recursive: true });
    });
  }
  const of = (pick: (push: Push) => number): number => median(pushes.map(pick));
  const size = `${bytes / MEBI} MiB`;
  const transferred = of((push) => push.transferSeconds);
  print(`push ${size}: bytes on their way until all are durable`, rate(bytes, transferred), `Flower: ${FLOWER.pushMBps} MB/s`);
  print(`push ${size}: the same and the verdict`, rate(bytes, transferred + of((push) => push.verdictSeconds)));
  print(
    `push ${size}: whole command, hashing and start included`,
    rate(
      bytes,
      of((push) => push.wholeSeconds),
    ),
    `${of((push) => push.wholeSeconds).toFixed(2)} s`,
  );
  const repeated = again.reduce((sum, push) => sum + push.sentBytes, 0);
  print(`push ${size} again: bytes sent`, `${repeated} B`, `${median(again.map((push) => push.wholeSeconds)).toFixed(2)} s, whole command`);
  print(`pull ${size}: whole command`, rate(bytes, median(pulls)), `${median(pulls).toFixed(2)} s`);
  rmSync(checkpoint, { recursive: true });
}

async function printTogether(folder: string, bytes: number, clients: number, repetitions: number, beside: string): Promise<void> {
  const checkpoints = Array.from({ length: clients }, (_, index) => writeWeights(join(folder, `together-${index}`), bytes, 10 + index));
  const all: number[] = [];
  const each: number[] = [];
  let peakBytes = 0;
  for (let turn = 0; turn < repetitions; turn++) {
    await withCoordinator(folder, async (coordinator) => {
      const started = performance.now();
      const pushes = await Promise.all(
        checkpoints.map((checkpoint, index) => pushBase(coordinator.address, join(folder, `home-${turn}`), checkpoint, `model-${index}`)),
      );
      all.push((performance.now() - started) / 1000);
      each.push(median(pushes.map((push) => push.transferSeconds)));
      peakBytes = Math.max(peakBytes, peakMemory(coordinator.pid));
    });
  }
  const what = `${clients} clients push ${bytes / MEBI} MiB each`;
  print(`${what}: one of them, transfer`, rate(bytes, median(each)));
  print(`${what}: in all, whole commands`, rate(bytes * clients, median(all)), beside.startsWith('Flower:') ? beside : '');
  print(`${what}: peak memory of the coordinator`, `${(peakBytes / 1e6).toFixed(0)} MB`, beside.startsWith('Flower:') ? '' : beside);
  for (const checkpoint of checkpoints) rmSync(checkpoint, { recursive: true });
}

function peakMemory(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) * 1024;
}

async function printFar(folder: string, sizes: Sizes): Promise<void> {
  const checkpoint = writeWeights(join(folder, 'far'), sizes.farBytes, 50);
  const seconds: number[] = [];
  for (let turn = 0; turn < sizes.repetitions; turn++) {
    await withCoordinator(folder, async (coordinator) => {
      const line = await startDelayProxy({ targetPort: coordinator.grpcPort, oneWayDelayMs: 20 });
      seconds.push((await pushBase(line.address, join(folder, `far-home-${turn}`), checkpoint, 'model')).transferSeconds);
      await line.close();
    });
  }
  const perSecond = `${(sizes.farBytes / MEBI / median(seconds)).toFixed(0)} MiB/s`;
  print(
    `push ${sizes.farBytes / MEBI} MiB over a line of 40 ms round trip`,
    perSecond,
    "gRPC's own 64 KiB window allows 1.6 MiB/s a connection",
  );
  rmSync(checkpoint, { recursive: true });
}
