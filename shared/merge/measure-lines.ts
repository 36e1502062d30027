/**
 * The factor of the first layer that LiNeS (arXiv 2410.17146) takes on its own: alpha = |sum of v_i|_1 / (N |V|_1) over all tensors together,
 * v_i the task vectors as they came and V what the rule made of them. Known once V is; then the factor of every tensor follows.
 */
import { unitElementsOf } from '../workers/look-tiles.js';
import type { TensorTask } from '../workers/program-job.js';
import type { Finding } from '../workers/protocol.js';
import { NO_ROOM, total } from './look-requests.js';
import type { LinesFactor, TensorProgram } from './program.js';
import { type LookEnvironment, type LookSources, performLooks, placeRequests } from './run-looks.js';

const isDefined = (task: TensorTask | undefined): task is TensorTask => task !== undefined;

/** @param depth l / (L - 1) of layer l of L; undefined outside of layers */
function factorOf({ beta, depth }: LinesFactor, alpha: number): number {
  return depth === undefined ? alpha : alpha + (beta === 'auto' ? 1 - alpha : beta) * depth;
}

function withFactor(task: TensorTask, alpha: number): TensorTask {
  const { program } = task;
  if (program.lines === undefined) return task;
  const scaled: TensorProgram = { ...program, lambda: program.lambda * factorOf(program.lines, alpha) };
  return { ...task, program: scaled };
}

/** Tasks as they are merged: with the factor of their layer, where it had to be measured. */
export async function measureLines(
  environment: LookEnvironment,
  sources: LookSources,
  all: readonly (TensorTask | undefined)[],
): Promise<{ findings: readonly Finding[]; tasks: readonly (TensorTask | undefined)[] }> {
  const tasks = all.filter(isDefined).filter(({ program }) => program.lines !== undefined);
  const inputs = tasks[0]?.program.lines?.inputs;
  if (inputs === undefined) return { findings: [], tasks: all };
  const { findings, results } = await performLooks(
    environment,
    sources,
    placeRequests(
      tasks.map((task) => {
        const units = Math.ceil(task.count / unitElementsOf({ kind: 'norms', sumsAt: 0 }, task));
        return { task, request: { room: { ...NO_ROOM, sums: units * 2 }, look: (at) => ({ kind: 'norms', sumsAt: at.sums }) } };
      }),
    ),
  );
  const [sum = 0, merged = 0] = [0, 1].map((field) => results.reduce((size, { sums }) => size + total(sums, field, 2), 0));
  const alpha = merged > 0 ? sum / (inputs * merged) : 0;
  return { findings, tasks: all.map((task) => (task === undefined ? undefined : withFactor(task, alpha))) };
}
