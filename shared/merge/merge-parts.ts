/** Carries out a plan part by part: what has to be measured first, then the tiles. */
import type { WorkerPool } from '../workers/pool.js';
import type { TensorTask } from '../workers/program-job.js';
import { CONTROL, type Finding, type MergeJob } from '../workers/protocol.js';
import { type CompiledPart, compilePart, GROUP_SIZE, type TileLayout } from './compile-job.js';
import { isFatal } from './findings.js';
import { loadMasks } from './load-masks.js';
import type { MatrixStage } from './matrix-stage.js';
import { measureCombinations } from './measure-combination.js';
import { measureLines } from './measure-lines.js';
import { measureModelStages } from './measure-model.js';
import { solveModelWide, solveTensors } from './measure-plan.js';
import { cutParts, isModelWide, type Part } from './parts.js';
import { type LookEnvironment, runLooks } from './run-looks.js';
import { allLooksOf } from './special-looks.js';
import { writeRescalers } from './task-masks.js';
import type { MergePlan, PlannedTensor } from './types.js';

export interface PartsEnvironment extends LookEnvironment {
  readonly pool: WorkerPool;
  readonly layout: TileLayout;
  /** One byte a tile of the plan: 1 when its bytes are written. */
  readonly done: Uint8Array;
  readonly outputPaths: readonly string[];
  /** Shared by all jobs that write tiles; `doneUnits` counts over all of them. */
  readonly control: Int32Array;
  readonly inputNames: readonly string[];
  /** The tensors of the plan, and the same compiled whole. */
  readonly planned: readonly PlannedTensor[];
  readonly compiled: CompiledPart;
  /** Present when the plan derives tensors from whole matrices. */
  readonly matrices?: MatrixStage | undefined;
}

function isDone({ done, layout }: PartsEnvironment, { from, to }: Part): boolean {
  const end = layout.firstTiles[to] ?? layout.tiles;
  for (let tile = layout.firstTiles[from] ?? 0; tile < end; tile++) if (done[tile] !== 1) return false;
  return true;
}

/** Tasks with at least one tile to write. */
function openTasks({ done, layout }: PartsEnvironment, part: CompiledPart, from: number, tensors: readonly PlannedTensor[]): TensorTask[] {
  const ends = new Map(
    tensors.map((_, index) => [layout.firstTiles[from + index] ?? 0, layout.firstTiles[from + index + 1] ?? layout.tiles]),
  );
  return part.tasks.flatMap((task) => {
    if (task === undefined) return [];
    for (let tile = task.tile; tile < (ends.get(task.tile) ?? task.tile); tile++) if (done[tile] !== 1) return [task];
    return [];
  });
}

async function mergePart(
  environment: PartsEnvironment,
  plan: MergePlan,
  planned: readonly PlannedTensor[],
  { from, to }: Part,
): Promise<readonly Finding[]> {
  const { layout, control, done, kernels, outputPaths, pool, signal } = environment;
  const slice = planned.slice(from, to);
  if (plan.model === undefined) await environment.matrices?.make(slice);
  const { findings, tensors } = await solveTensors(environment, slice, layout.firstTiles.slice(from, to), environment.inputNames);
  if (findings.length > 0) return findings;
  const whole = tensors === slice && planned === environment.planned && to - from === planned.length;
  const part = whole ? environment.compiled : compilePart(tensors, from, layout, environment.pathOf);
  const wide = tensors.some(isModelWide);
  // What is measured over all tensors must not depend on which of them an earlier run has written.
  const tasks = wide ? part.tasks.filter((task) => task !== undefined) : openTasks(environment, part, from, tensors);
  if (wide) {
    const found = await measureModelStages(environment, part, tasks);
    if (found.length > 0) return found;
  }
  const found = await runLooks(
    environment,
    part,
    tasks.map((task) => ({ task, looks: allLooksOf({ task, statistics: part.statistics }) })),
  );
  if (found.length > 0) return found;
  const combined = await measureCombinations(environment, part, tasks);
  if (combined.findings.some(isFatal)) return combined.findings;
  if (plan.taskMasks !== undefined && combined.rescalers !== undefined)
    await writeRescalers(outputPaths[plan.shards.length] ?? '', plan.taskMasks, combined.rescalers);
  const scaled = await measureLines(environment, part, part.tasks);
  if (scaled.findings.length > 0) return scaled.findings;
  await loadMasks(part);
  Atomics.store(control, CONTROL.nextUnit, part.firstTile);
  const job: MergeJob = {
    kind: 'merge',
    control,
    done,
    kernels,
    sources: part.sources,
    tensors: part.tensors,
    uses: part.uses,
    tasks: scaled.tasks,
    statistics: part.statistics,
    endTile: part.endTile,
    outputPaths,
    tileBytes: layout.tileBytes,
    groupSize: GROUP_SIZE,
  };
  const merged = await pool.run(job, { signal });
  await environment.matrices?.release(slice);
  return [...combined.findings, ...merged];
}

/** @returns findings, fatal ones and differences; nothing more is done after the first fatal one */
export async function mergeParts(environment: PartsEnvironment, plan: MergePlan): Promise<readonly Finding[]> {
  const parts = cutParts(plan).filter((part) => !isDone(environment, part));
  if (parts.length === 0) return [];
  // Of what is measured over all tensors, all have to be there.
  if (plan.model !== undefined) await environment.matrices?.make(plan.tensors);
  const solved = await solveModelWide(environment, plan, environment.layout.firstTiles);
  if (solved.findings.length > 0) return solved.findings;
  if (plan.taskMasks !== undefined) await writeRescalers(environment.outputPaths[plan.shards.length] ?? '', plan.taskMasks, []);
  const findings: Finding[] = [];
  for (const part of parts) {
    findings.push(...(await mergePart(environment, plan, solved.tensors, part)));
    if (findings.some(isFatal) || Atomics.load(environment.control, CONTROL.stop) !== 0) break;
  }
  return findings;
}
