/** A worker thread that computes a bit of everything with the lapack engine, several times over, and posts a digest of all results. */
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import type { EngineChoice } from '../../shared/linalg/linear-algebra.js';
import { loadEngine } from '../../shared/linalg/load-engine.js';
import { F32, F64, gaussianMatrix } from './linalg-matrices.js';

const engine = await loadEngine(workerData as EngineChoice);
const hash = createHash('sha256');
for (let round = 0; round < 3; round += 1) {
  for (const [rows, columns] of [
    [150, 130],
    [64, 210],
  ] as const) {
    const a = F32.round(gaussianMatrix(rows, columns, rows));
    const spectrum = engine.spectrum(a);
    const wide = F64.round(a);
    const gram = engine.gram(a, 'left');
    hash.update(spectrum.values).update(spectrum.vectors(40).data);
    hash.update(engine.svd(a).u.data).update(engine.svd(wide).vt.data).update(engine.qr(wide).r.data);
    hash.update(engine.gemm(a, a, { transposeB: true }).data).update(engine.gemm(wide, wide, { transposeA: true }).data);
    hash.update(gram.data).update(engine.eigh(gram).vectors.data);
  }
}
parentPort?.postMessage(hash.digest('hex'));
