/** Statistics over all tensors together that the combination needs, once those of all stages are known. */

import { TributaryError } from '../errors/tributary-error.js';
import { COMPETITION } from '../workers/competition.js';
import { unitElementsOf } from '../workers/look-tiles.js';
import type { TensorTask } from '../workers/program-job.js';
import { numberIndex } from '../workers/program-job.js';
import type { Finding } from '../workers/protocol.js';
import { findBorders } from './find-bands.js';
import { type LookRequest, type LookResult, NO_ROOM, total } from './look-requests.js';
import { performShared } from './measure-model.js';
import type { Combine } from './program.js';
import { type LookEnvironment, type LookSources, performLooks, placeRequests } from './run-looks.js';
import type { BandBorders } from './selection.js';
import { valueOfKey } from './special-looks.js';

/** Magnitudes are held between these quantiles (PCB). */
const CLAMP = 1e-4;

export const isModelWideCombine = ({ kind }: Combine): boolean => kind === 'competition' || kind === 'unify';

type SharedLooks<T> = Generator<LookRequest, T, LookResult>;

/** Carries out looks that all tasks do together. */
async function runShared<T>(
  environment: LookEnvironment,
  sources: LookSources,
  tasks: readonly TensorTask[],
  looks: SharedLooks<T>,
): Promise<{ findings: readonly Finding[]; value?: T }> {
  let next = looks.next();
  while (next.done !== true) {
    const { findings, result } = await performShared(environment, sources, tasks, next.value);
    if (findings.length > 0 || result === undefined) return { findings };
    next = looks.next(result);
  }
  return { findings: [], value: next.value };
}

/** What is looked at are scores, two vectors an input, instead of the vectors themselves. */
function* ofScores<T>(looks: SharedLooks<T>): SharedLooks<T> {
  let next = looks.next();
  while (next.done !== true) {
    const { room, look } = next.value;
    const result = yield {
      room,
      look: (at) => {
        const one = look(at);
        return one.kind === 'high' || one.kind === 'low' ? { ...one, scores: true } : one;
      },
    };
    next = looks.next(result);
  }
  return next.value;
}

const between = (use: number, lower: number, upper: number) => ({
  use,
  band: { from: lower, to: upper, ties: 'all' as const },
  lower,
  upper,
});

/** The positions in ascending order at which the official code of PCB reads its quantiles, of `count` elements. */
const lowerPosition = (count: number, share: number): number => Math.min(count - 1, Math.trunc(count * share));
const upperPosition = (count: number, share: number): number => Math.max(0, Math.trunc(count * share - 1));

/** The competition of PCB: first what magnitudes are held between, then the lowest score that counts and the highest. */
function* competitionLooks(tasks: readonly TensorTask[], numbers: Float64Array, stage: number, ratio: number): SharedLooks<void> {
  const inputs = tasks[0]?.uses.length ?? 0;
  const count = tasks.reduce((sum, task) => sum + task.count, 0);
  const uses = Array.from({ length: inputs }, (_, use) => use);
  const set = (use: number, field: number, value: number): void => {
    for (const task of tasks) numbers[numberIndex(task, stage, use, field)] = value;
  };
  const limits = uses.map((use) => between(use, lowerPosition(count, CLAMP), upperPosition(count, 1 - CLAMP)));
  const sizes = yield* findBorders(inputs, stage, limits);
  sizes.forEach(({ low, high }, use) => {
    set(use, COMPETITION.smallest, valueOfKey(low));
    set(use, COMPETITION.largest, valueOfKey(high));
  });
  // In the ascending order of all scores those below zero come first: position p of them is position d - 1 - p of the magnitudes of what is below zero.
  const position = lowerPosition(count, 1 - ratio);
  const open = uses.flatMap((use) => [between(2 * use, position, count - 1), between(2 * use + 1, 0, count - 1 - position)]);
  const scores = yield* ofScores(findBorders(2 * inputs, stage, open));
  const signed = (above: number, below: number): number => (above > 0 ? valueOfKey(above) : -valueOfKey(below));
  const at = (index: number): BandBorders | undefined => scores[index];
  for (const use of uses) {
    const [above, below] = [at(2 * use), at(2 * use + 1)];
    set(use, COMPETITION.lowest, signed(above?.low ?? 0, below?.high ?? 0));
    set(use, COMPETITION.highest, signed(above?.high ?? 0, below?.low ?? 0));
  }
}

/**
 * What brings each task's share of the unified vector to the task's own size (EMR): the sum over all tensors of the mean magnitude, divided by
 * the same of what the mask leaves of the unified vector; 0 where it leaves nothing.
 */
async function measureRescalers(environment: LookEnvironment, sources: LookSources, tasks: readonly TensorTask[]): Promise<Combinations> {
  const { findings, results } = await performLooks(
    environment,
    sources,
    placeRequests(
      tasks.map((task) => {
        const units = Math.ceil(task.count / unitElementsOf({ kind: 'sizes', sumsAt: 0 }, task));
        const room = { ...NO_ROOM, sums: units * task.uses.length * 2 };
        return { task, request: { room, look: (at) => ({ kind: 'sizes', sumsAt: at.sums }) } };
      }),
    ),
  );
  if (findings.length > 0) return { findings };
  const own: number[] = [];
  const shared: number[] = [];
  tasks.forEach(({ count, uses }, index) => {
    const step = uses.length * 2;
    uses.forEach(({ input }, use) => {
      for (const [sums, at] of [
        [own, use * 2],
        [shared, use * 2 + 1],
      ] as const)
        sums[input] = (sums[input] ?? 0) + total(results[index]?.sums ?? new Float64Array(), at, step) / count;
    });
  });
  const rescalers = Array.from(own, (size, input) => ((shared[input] ?? 0) > 0 ? size / (shared[input] ?? 1) : 0));
  const empty = rescalers.flatMap((_, use): Finding[] => ((shared[use] ?? 0) > 0 ? [] : [{ kind: 'emptyTask', unit: 0, use }]));
  return { findings: empty, rescalers };
}

export interface Combinations {
  readonly findings: readonly Finding[];
  /** By number of the input. */
  readonly rescalers?: readonly number[];
}

/** @throws RECIPE_UNSUPPORTED when a tensor is not in every contribution */
export async function measureCombinations(
  environment: LookEnvironment,
  sources: LookSources,
  tasks: readonly TensorTask[],
): Promise<Combinations> {
  const [first] = tasks;
  const combine = first?.program.combine;
  if (first === undefined) return { findings: [] };
  if (combine?.kind === 'unify') return measureRescalers(environment, sources, tasks);
  if (combine?.kind !== 'competition') return { findings: [] };
  if (tasks.some(({ uses }) => uses.length !== first.uses.length))
    throw new TributaryError('RECIPE_UNSUPPORTED', {
      what: 'pcb compares whole contributions, and some lack tensors that others have',
      fix: 'Use another rule, or leave those contributions out.',
    });
  const looks = competitionLooks(tasks, sources.statistics.numbers, first.program.stages.length, combine.ratio);
  return { findings: (await runShared(environment, sources, tasks, looks)).findings };
}
