/** The engine that is always there: WebAssembly SIMD of our own, one core, nothing to install. */
import type { LinearAlgebra } from './linear-algebra.js';
import { choleskySolve } from './portable-cholesky.js';
import { eigh } from './portable-eigen.js';
import { compileLinalg, createLinalgMemory, type LinalgMemory } from './portable-memory.js';
import { gemm, gram } from './portable-products.js';
import { qr } from './portable-qr.js';
import { spectrum } from './portable-spectrum.js';
import { singularValues, svd } from './portable-svd.js';

export async function createPortableEngine(): Promise<LinearAlgebra> {
  const memory = createLinalgMemory(await compileLinalg());
  return {
    engine: 'portable',
    device: 'cpu',
    library: 'WebAssembly SIMD, built in',
    gemm: (a, b, options) => trimmed(memory, () => gemm(memory, a, b, options)),
    gram: (a, side) => trimmed(memory, () => gram(memory, a, side)),
    svd: (a) => trimmed(memory, () => svd(memory, a)),
    singularValues: (a) => trimmed(memory, () => singularValues(memory, a)),
    eigh: (a) => trimmed(memory, () => eigh(memory, a)),
    choleskySolve: (a, b) => trimmed(memory, () => choleskySolve(memory, a, b)),
    qr: (a) => trimmed(memory, () => qr(memory, a)),
    spectrum(a) {
      const found = trimmed(memory, () => spectrum(memory, a));
      return { ...found, vectors: (count) => trimmed(memory, () => found.vectors(count)) };
    },
  };
}

function trimmed<T>(memory: LinalgMemory, run: () => T): T {
  try {
    return run();
  } finally {
    memory.trim();
  }
}
