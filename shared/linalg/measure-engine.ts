/** How fast an engine multiplies matrices: what `tributary doctor` shows. Takes a fraction of a second. */
import type { LinearAlgebra, Matrix, Reals } from './linear-algebra.js';

export interface EngineSpeed {
  /** 1e9 operations a second, of the best of a few products of square matrices of this size. */
  readonly size: number;
  readonly f32: number;
  readonly f64: number;
}

const SMALL = 256;
const LARGE = 768;
/** Slower engines stay with the small size. */
const SLOW_GIGAFLOPS = 12;
const REPEATS = 3;

export function measureEngine(engine: LinearAlgebra): EngineSpeed {
  const f64 = speedOf(engine, new Float64Array(SMALL * SMALL));
  if (f64 < SLOW_GIGAFLOPS) return { size: SMALL, f32: speedOf(engine, new Float32Array(SMALL * SMALL)), f64 };
  return { size: LARGE, f32: speedOf(engine, new Float32Array(LARGE * LARGE)), f64: speedOf(engine, new Float64Array(LARGE * LARGE)) };
}

function speedOf<T extends Reals>(engine: LinearAlgebra, data: T): number {
  for (let index = 0; index < data.length; index += 1) data[index] = Math.sin(index);
  const size = Math.sqrt(data.length);
  const a: Matrix<T> = { rows: size, columns: size, data };
  let bestMs = Number.POSITIVE_INFINITY;
  // The first is for caches and compilers.
  for (let repeat = 0; repeat <= REPEATS; repeat += 1) {
    const startedMs = performance.now();
    engine.gemm(a, a);
    bestMs = Math.min(bestMs, performance.now() - startedMs);
  }
  return (2 * size ** 3) / bestMs / 1e6;
}
