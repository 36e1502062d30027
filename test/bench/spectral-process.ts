/**
 * STAR by one of our engines as a process of its own, the way a merge runs it: threads that take one matrix after the other, from file to
 * scratch file. The argument is a file with an EngineJob; the answer is one line of JSON.
 */
import { readFileSync, rmSync } from 'node:fs';
import { compileKernels, DTYPE_CODE } from '../../shared/kernels/kernels.js';
import { findEngine } from '../../shared/linalg/find-engine.js';
import { createMatrixThreads } from '../../shared/merge/matrix-threads.js';
import type { MatrixTask } from '../../shared/workers/matrix-job.js';
import { createSourceTableBuilder } from '../../shared/workers/source-table.js';
import type { EngineJob, SpectralResult } from './spectral-job.js';

const WARM_UP = 256;

const job = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as EngineJob;

/** TensorFlow has threads of its own. */
const threadCount = job.engine === 'tensorflow' ? 1 : job.threads;
const { choice, library, device } = await findEngine(job.engine, process.env);
const threads = createMatrixThreads(threadCount, { engine: choice, kernels: await compileKernels() });
const builder = createSourceTableBuilder();

function taskOf(input: string, output: string, rows: number, columns: number): MatrixTask {
  const source = builder.add([{ path: input, offset: 0, length: rows * columns * 4 }]);
  const inputs = [{ source, dtype: DTYPE_CODE.F32, difference: true, eta: job.eta, weight: 1 }];
  return { rows, columns, inputs, combine: { kind: 'each' }, path: output };
}

const warmUps = Array.from({ length: 2 * threadCount }, (_, index) => {
  return taskOf(job.inputs[0] ?? '', `${job.outputs[0]}.warm-up-${index}`, Math.min(WARM_UP, job.rows), Math.min(WARM_UP, job.columns));
});
const tasks = job.inputs.map((input, index) => taskOf(input, job.outputs[index] ?? '', job.rows, job.columns));
const sources = builder.build();

async function run(all: readonly MatrixTask[]): Promise<void> {
  await Promise.all(all.map((task) => threads.run({ kind: 'task', task, sources }, undefined)));
}

function peakBytes(): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? Number.NaN) * 1024;
}

await run(warmUps);
for (const { path } of warmUps) rmSync(path);
const start = performance.now();
const cpuStart = process.cpuUsage();
await run(tasks);
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpuStart);
const result: SpectralResult = { seconds, cpuSeconds: (user + system) / 1e6, peakBytes: peakBytes(), library: `${library} on ${device}` };
await threads.close();
console.log(JSON.stringify(result));
