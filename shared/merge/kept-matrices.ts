/**
 * What rules on whole matrices derive, kept from one candidate to the next: a factorisation that no coefficient changes is done once. Takes the
 * disk space of all scratch files at a time, where a single merge takes that of a part.
 */
import { mkdir, rm } from 'node:fs/promises';
import type { WasmModule } from '../kernels/web-assembly.js';
import type { EngineChoice } from '../linalg/linear-algebra.js';
import { scratchPathOf } from './derive.js';
import { inScratch, type MatrixStage, makeDerived } from './matrix-stage.js';
import { createMatrixThreads, type MatrixThreads } from './matrix-threads.js';
import type { MergePlan } from './types.js';

export interface KeptMatrices {
  /** A stage for one plan over the same inputs. Its `release` and `close` keep what is made. */
  stageFor(plan: MergePlan, signal: AbortSignal | undefined): MatrixStage;
  /** Ends the threads and removes what they made; the next stage begins anew. Needed after a failure: a thread may be at work still. */
  reset(): Promise<void>;
}

export interface KeptMatricesOptions {
  readonly scratchDir: string;
  readonly engine: EngineChoice;
  readonly threads: number;
  readonly kernels: WasmModule;
}

export function createKeptMatrices({ scratchDir, engine, threads: wanted, kernels }: KeptMatricesOptions): KeptMatrices {
  const pathOf = inScratch(scratchDir);
  /** What stands in each scratch file, as the JSON of its derivation: inputs, coefficients and all. */
  const made = new Map<string, string>();
  let threads: MatrixThreads | undefined;

  return {
    stageFor: (plan, signal) => ({
      pathOf,
      async make(tensors) {
        const wantedKeys = new Map<string, string>();
        const missing = tensors.filter(({ derivation }) => {
          if (derivation === undefined) return false;
          const path = scratchPathOf(derivation);
          const key = JSON.stringify(derivation);
          wantedKeys.set(path, key);
          return made.get(path) !== key;
        });
        if (missing.length === 0) return;
        await mkdir(scratchDir, { recursive: true });
        const placeOf = ({ derivation }: (typeof missing)[number]): string => (derivation === undefined ? '' : scratchPathOf(derivation));
        for (const tensor of missing) made.delete(placeOf(tensor));
        threads ??= createMatrixThreads(wanted, { engine, kernels });
        await makeDerived(threads, missing, {
          plan,
          pathOf,
          signal,
          onDone: (tensor) => {
            const path = placeOf(tensor);
            made.set(path, wantedKeys.get(path) ?? '');
          },
        });
      },
      release: () => Promise.resolve(),
      close: () => Promise.resolve(),
    }),
    async reset() {
      const running = threads;
      threads = undefined;
      made.clear();
      await running?.close();
      await rm(scratchDir, { recursive: true, force: true });
    },
  };
}
