/**
 * `npm run bench -- queries [--tasks 4]`: how fast a front answers over gRPC. A real coordinator in a process of its own serves a front of made-up metrics; clients with a
 * connection each ask it for the best point by preference. Twice: every client asks again as soon as it has its answer (what the coordinator can do at most), and
 * every client asks ten times a second (what waiting for an answer is like). Beside it a bare HTTP/2 server in Node that sends the same bytes: the floor.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { connect } from '../../client/api/connection.js';
import { FrontState, QueryResponse, Scalarisation } from '../../shared/generated/tributary/v1/pareto.js';
import { frameOf } from '../../shared/transfer/grpc-frame.js';
import { writeCoefficientWorld } from '../support/coefficient-world.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { joinFederation } from '../support/federation.js';
import type { QueryLoad, QueryTimes } from './query-clients.js';

const CLIENTS = [1, 16, 64] as const;
const SECONDS = 4;
const ROUND = 'bench';

/** Agent and evaluator in one: accuracy of task t falls with the distance from corner t. */
async function measureAll(server: string, tasks: number): Promise<void> {
  const connection = connect({ server });
  try {
    for (;;) {
      const names = Array.from({ length: tasks }, (_, task) => `task${task}`);
      const { leases } = await connection.evaluations.lease({ agent: 'bench', round: ROUND, tasks: names, most: 64, waitSeconds: 1 });
      for (const { leaseId, candidate, task, coefficients } of leases) {
        const corner = names.indexOf(task);
        const far = coefficients.reduce((sum, value, at) => sum + (value - (at === corner ? 1 : 0)) ** 2, 0);
        const value = 1 / (1 + Math.exp(-(2 - far)));
        await connection.evaluations.report({
          agent: 'bench',
          leaseId,
          round: ROUND,
          candidate,
          task,
          outcome: { $case: 'measured', value: { value, count: 1000n, standardError: undefined, metrics: {}, gradient: [] } },
        });
      }
      const front = await connection.pareto.getFront({ round: ROUND });
      if (leases.length === 0 && front.state === FrontState.SERVING) return;
      if (leases.length === 0) await sleep(100);
    }
  } finally {
    connection.close();
  }
}

async function load(request: QueryLoad): Promise<QueryTimes> {
  const worker = new Worker(new URL('./query-clients.js', import.meta.url), { workerData: request });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

const quantile = (sorted: readonly number[], share: number): string =>
  (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN).toFixed(2);

function figures({ latenciesMs, seconds }: QueryTimes): string {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const rate = (sorted.length / seconds).toFixed(0);
  return `${rate.padStart(10)} ${quantile(sorted, 0.5).padStart(8)} ${quantile(sorted, 0.99).padStart(8)}`;
}

export async function benchQueries(args: readonly string[]): Promise<void> {
  const tasks = args[0] === '--tasks' ? Number(args[1]) : 4;
  const dir = mkdtempSync(join(tmpdir(), 'tributary-bench-'));
  const coordinator = await CoordinatorProcess.start({ dataDir: join(dir, 'data'), home: join(dir, 'home') });
  const federation = joinFederation(coordinator.address);
  try {
    const { base, contributors } = writeCoefficientWorld(dir, tasks);
    await federation.registerBase('base', base);
    const names = contributors.map((_, task) => `task${task}: {metric: accuracy}`).join(', ');
    const recipe = `merge_method: task_arithmetic\nmap:\n  tasks: {${names}}\n`;
    await federation.createRound(ROUND, { base: 'base', recipe, quorum: tasks });
    for (const { name, folder } of contributors) await federation.push(ROUND, name, { folder });
    await federation.ended(ROUND);
    await measureAll(coordinator.address, tasks);
    const { points, answer } = await lookAt(coordinator.address, tasks);
    const floor = spawn(process.execPath, [new URL('./query-floor.js', import.meta.url).pathname, answer.toString('base64')]);
    const [port] = (await once(floor.stdout, 'data')) as [Buffer];
    console.log(`${tasks} tasks, a front of ${points} points; ${availableParallelism()} processors for coordinator and clients together\n`);
    console.log('clients  how they ask             queries/s   p50 ms   p99 ms   bare HTTP/2: queries/s   p50 ms   p99 ms');
    try {
      for (const everyMs of [0, 100])
        for (const clients of CLIENTS) {
          const asked = { round: ROUND, tasks, clients, everyMs, seconds: SECONDS };
          const ours = figures(await load({ ...asked, server: coordinator.address }));
          const bare = figures(await load({ ...asked, server: `127.0.0.1:${port.toString().trim()}` }));
          const how = everyMs === 0 ? 'without a pause' : 'ten times a second each';
          console.log(`${`${clients}`.padStart(7)}  ${how.padEnd(23)} ${ours}              ${bare}`);
        }
    } finally {
      floor.kill();
    }
  } finally {
    federation.disconnect();
    await coordinator.kill('SIGTERM');
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Points of the front, and the bytes of an answer in their frame. */
async function lookAt(server: string, tasks: number): Promise<{ points: number; answer: Buffer }> {
  const connection = connect({ server });
  try {
    const { predicted } = await connection.pareto.getFront({ round: ROUND });
    const weights = Array.from({ length: tasks }, (_, task) => ({ task: `task${task}`, weight: 1 + task }));
    const preference = { weights, scalarisation: Scalarisation.LINEAR };
    const answer = await connection.pareto.query({ round: ROUND, by: { $case: 'preference', value: preference } });
    return { points: predicted.length, answer: frameOf(QueryResponse.encode(answer).finish()) };
  } finally {
    connection.close();
  }
}
