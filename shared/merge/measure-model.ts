/**
 * Statistics over all tensors together, before anything is merged: products of whole task vectors, magnitudes in the order of the whole
 * model, signs. One pass each, memory for counts only.
 */
import { numberIndex, STATISTIC, type TensorTask } from '../workers/program-job.js';
import type { Finding } from '../workers/protocol.js';
import { findBorders, setBorders } from './find-bands.js';
import { type LookRequest, type LookResult, NO_ROOM } from './look-requests.js';
import { UNIT_ELEMENTS } from './program.js';
import { type LookEnvironment, type LookSources, performLooks, placeRequests } from './run-looks.js';
import { borderPositions, EMPTY_BAND } from './selection.js';
import type { Gram } from './sphere.js';

const unitsOf = ({ count }: TensorTask): number => Math.ceil(count / UNIT_ELEMENTS);

export type Measured<T> = { readonly findings: readonly Finding[]; readonly value?: T };

/** Products of all pairs of the tasks' vectors (or of each with itself), tensor by tensor; of n inputs n (n + 1) / 2 numbers. */
export async function measureProducts(
  environment: LookEnvironment,
  sources: LookSources,
  tasks: readonly TensorTask[],
  pairs: boolean,
): Promise<Measured<Float64Array[]>> {
  const sizeOf = ({ uses }: TensorTask): number => (pairs ? (uses.length * (uses.length + 1)) / 2 : uses.length);
  const { findings, results } = await performLooks(
    environment,
    sources,
    placeRequests(
      tasks.map((task) => ({
        task,
        request: {
          room: { ...NO_ROOM, sums: unitsOf(task) * sizeOf(task) },
          look: (at) => ({ kind: 'gram', sumsAt: at.sums, pairs }),
        },
      })),
    ),
  );
  if (findings.length > 0) return { findings };
  const value = results.map(({ sums }, index) => {
    const task = tasks[index];
    const size = task === undefined ? 0 : sizeOf(task);
    const total = new Float64Array(size);
    sums.forEach((one, at) => (total[at % size] = (total[at % size] ?? 0) + one));
    return total;
  });
  return { findings, value };
}

/** The symmetric matrix of products in row-by-row order (i <= j); without pairs only its diagonal is known. */
export function toGram(products: ArrayLike<number>, n: number, pairs: boolean): Gram {
  const gram = Array.from({ length: n }, () => Array<number>(n).fill(0));
  let at = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i; j < (pairs ? n : i + 1); j++) {
      const value = products[at] ?? 0;
      at += 1;
      for (const [row, column] of [
        [i, j],
        [j, i],
      ] as const) {
        const line = gram[row];
        if (line !== undefined) line[column] = value;
      }
    }
  }
  return gram;
}

/** Asks all tasks for the same look; counts of all go into one table. */
export async function performShared(
  environment: LookEnvironment,
  sources: LookSources,
  tasks: readonly TensorTask[],
  request: LookRequest,
): Promise<{ findings: readonly Finding[]; result: LookResult | undefined }> {
  const { findings, results } = await performLooks(
    environment,
    sources,
    tasks.map((task) => ({ task, request, room: NO_ROOM })),
  );
  return { findings, result: results[0] };
}

/** Finds bands over whole models, and the majority of signs that elections without a result fall back to. */
export async function measureModelStages(
  environment: LookEnvironment,
  sources: LookSources,
  tasks: readonly TensorTask[],
): Promise<readonly Finding[]> {
  const [first] = tasks;
  if (first === undefined) return [];
  const { numbers } = sources.statistics;
  const inputs = first.uses.length;
  const count = tasks.reduce((sum, task) => sum + task.count, 0);
  for (const [stage, one] of first.program.stages.entries()) {
    if (one.kind !== 'band' || one.scope !== 'model') continue;
    const set = (use: number, borders: typeof EMPTY_BAND): void => {
      for (const task of tasks) setBorders({ task, statistics: sources.statistics }, stage, use, borders);
    };
    const open = one.bands.flatMap((band, use) => (band === undefined ? [] : [{ use, band, ...borderPositions(band, count) }]));
    for (const { use, band } of open) if (band.from >= band.to) set(use, EMPTY_BAND);
    const counted = open.filter(({ band, lower, upper }) => band.from < band.to && (lower !== undefined || upper !== undefined));
    if (counted.length === 0) continue;
    const looks = findBorders(inputs, stage, counted);
    let next = looks.next();
    while (next.done !== true) {
      const { findings, result } = await performShared(environment, sources, tasks, next.value);
      if (findings.length > 0 || result === undefined) return findings;
      next = looks.next(result);
    }
    next.value.forEach((borders, index) => set(counted[index]?.use ?? 0, borders));
  }
  const { combine, stages } = first.program;
  if (combine.kind !== 'consensus' || combine.zero !== 'majority') return [];
  const { findings, results } = await performLooks(
    environment,
    sources,
    placeRequests(
      tasks.map((task) => ({
        task,
        request: { room: { ...NO_ROOM, sums: unitsOf(task) }, look: (at) => ({ kind: 'signs', sumsAt: at.sums }) },
      })),
    ),
  );
  const balance = results.reduce((sum, { sums }) => sum + sums.reduce((all, one) => all + one, 0), 0);
  for (const task of tasks) numbers[numberIndex(task, stages.length, 0, STATISTIC.factor)] = balance < 0 ? -1 : 1;
  return findings;
}
