/**
 * Carries out the derivations of a plan: scratch files come before the tiles that read them and go when those are written. What an earlier,
 * killed run left is made anew. As many matrices are in memory at a time as fit.
 */
import { mkdir, rm } from 'node:fs/promises';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { TributaryError } from '../errors/tributary-error.js';
import type { WasmModule } from '../kernels/web-assembly.js';
import type { EngineChoice } from '../linalg/linear-algebra.js';
import { createMemoryBudget } from '../util/memory-budget.js';
import type { NotFinite } from '../workers/matrix-job.js';
import { compileMatrices } from './compile-matrices.js';
import { type Derivation, isScratchPath, scratchName } from './derive.js';
import { taskBytes } from './matrix-memory.js';
import { createMatrixThreads } from './matrix-threads.js';
import type { MergePlan, PlannedTensor } from './types.js';

/** Share of the free memory that matrices may take. */
const MEMORY_SHARE = 0.6;

export interface MatrixStage {
  /** Where a path of the plan lies. */
  readonly pathOf: (path: string) => string;
  /** Makes what is derived of these tensors. @throws NON_FINITE, LINALG_FAILED, ENGINE_UNAVAILABLE, INTERRUPTED, DISK_FULL */
  make(tensors: readonly PlannedTensor[]): Promise<void>;
  /** Removes it again. */
  release(tensors: readonly PlannedTensor[]): Promise<void>;
  close(): Promise<void>;
}

export interface MatrixStageOptions {
  readonly plan: MergePlan;
  readonly scratchDir: string;
  readonly engine: EngineChoice;
  readonly threads: number;
  readonly kernels: WasmModule;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (done: number) => void;
}

function nonFiniteError(
  plan: MergePlan,
  { name }: PlannedTensor,
  derivation: Derivation,
  { input, element, value }: NotFinite,
): TributaryError {
  const number = derivation.inputs[input]?.input;
  const model = number === undefined || number < 0 ? (plan.baseName ?? 'the base') : (plan.inputNames[number] ?? '');
  return new TributaryError('NON_FINITE', {
    what: `${model} holds ${value} in tensor ${name}`,
    where: `${model}: ${name}, element ${element}`,
    expected: 'finite numbers',
    got: String(value),
    fix: 'The training diverged or the file is damaged; leave this model out.',
  });
}

export function createMatrixStage(options: MatrixStageOptions): MatrixStage {
  const { plan, scratchDir, engine, kernels, signal } = options;
  const threads = createMatrixThreads(engine.engine === 'tensorflow' ? 1 : options.threads, { engine, kernels });
  const pathOf = (path: string): string => (isScratchPath(path) ? join(scratchDir, scratchName(path)) : path);
  let done = 0;

  return {
    pathOf,
    async make(tensors) {
      const derived = tensors.flatMap((tensor) => (tensor.derivation === undefined ? [] : [{ tensor, derivation: tensor.derivation }]));
      if (derived.length === 0) return;
      await mkdir(scratchDir, { recursive: true });
      const { sources, tasks } = compileMatrices(
        derived.map(({ derivation }) => derivation),
        pathOf,
      );
      const budget = createMemoryBudget(freemem() * MEMORY_SHARE);
      const failed = new AbortController();
      const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
      const results = tasks.map(async (task, index) => {
        const one = derived[index];
        const bytes = one === undefined ? 0 : taskBytes(one.derivation);
        await budget.take(bytes);
        try {
          if (one === undefined || failed.signal.aborted) return;
          const { notFinite } = await threads.run({ kind: 'task', task, sources }, stop);
          if (notFinite !== undefined) throw nonFiniteError(plan, one.tensor, one.derivation, notFinite);
          done += 1;
          options.onProgress(done);
        } catch (error) {
          if (!failed.signal.aborted) failed.abort(error);
        } finally {
          budget.giveBack(bytes);
        }
      });
      await Promise.all(results);
      if (failed.signal.aborted) throw failed.signal.reason;
    },
    async release(tensors) {
      const { tasks } = compileMatrices(
        tensors.flatMap(({ derivation }) => (derivation === undefined ? [] : [derivation])),
        pathOf,
      );
      await Promise.all(tasks.map(({ path }) => rm(path, { force: true })));
    },
    async close() {
      await threads.close();
      await rm(scratchDir, { recursive: true, force: true });
    },
  };
}
