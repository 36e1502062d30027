/**
 * Carries out the derivations of a plan: scratch files come before the tiles that read them and go when those are written. What an earlier,
 * killed run left is made anew. As many matrices are in memory at a time as fit.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { WasmModule } from '../kernels/web-assembly.js';
import type { EngineChoice } from '../linalg/linear-algebra.js';
import { compileMatrices } from './compile-matrices.js';
import { isScratchPath, scratchName } from './derive.js';
import { modelName, nonFiniteError } from './findings.js';
import { runMatrixRequests } from './matrix-batch.js';
import { taskBytes } from './matrix-memory.js';
import { createMatrixThreads, type MatrixThreads } from './matrix-threads.js';
import type { MergePlan, PlannedTensor } from './types.js';

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

export const inScratch =
  (scratchDir: string) =>
  (path: string): string =>
    isScratchPath(path) ? join(scratchDir, scratchName(path)) : path;

export interface Making {
  readonly plan: Pick<MergePlan, 'baseName' | 'inputNames'>;
  readonly pathOf: (path: string) => string;
  readonly signal?: AbortSignal | undefined;
  /** Called as each is done. */
  readonly onDone: (tensor: PlannedTensor) => void;
}

/** Makes what is derived of these tensors; the folder of the scratch files exists. @throws as MatrixStage.make */
export async function makeDerived(threads: MatrixThreads, tensors: readonly PlannedTensor[], making: Making): Promise<void> {
  const { plan, pathOf, signal, onDone } = making;
  const derived = tensors.flatMap((tensor) => (tensor.derivation === undefined ? [] : [{ tensor, derivation: tensor.derivation }]));
  const { sources, tasks } = compileMatrices(
    derived.map(({ derivation }) => derivation),
    pathOf,
  );
  const sizes = derived.map(({ derivation }) => taskBytes(derivation));
  await runMatrixRequests(threads, {
    requests: tasks.map((task) => ({ kind: 'task', task, sources })),
    bytesOf: (index) => sizes[index] ?? 0,
    resultOf: ({ notFinite }, index) => {
      const one = derived[index];
      if (one === undefined) return;
      if (notFinite !== undefined) {
        const { input, element, value } = notFinite;
        throw nonFiniteError(modelName(plan, one.derivation.inputs[input]?.input), one.tensor.name, element, value);
      }
      onDone(one.tensor);
    },
    signal,
  });
}

export function createMatrixStage(options: MatrixStageOptions): MatrixStage {
  const { plan, scratchDir, engine, kernels, signal } = options;
  const threads = createMatrixThreads(options.threads, { engine, kernels });
  const pathOf = inScratch(scratchDir);
  let done = 0;
  const onDone = (): void => {
    done += 1;
    options.onProgress(done);
  };

  return {
    pathOf,
    async make(tensors) {
      if (tensors.every(({ derivation }) => derivation === undefined)) return;
      await mkdir(scratchDir, { recursive: true });
      await makeDerived(threads, tensors, { plan, pathOf, signal, onDone });
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
