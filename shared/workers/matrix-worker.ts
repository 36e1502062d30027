/** Entry of a thread that works on whole matrices: it loads an engine once and takes one tensor at a time. */
import { parentPort } from 'node:worker_threads';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { instantiateKernels, type Kernels } from '../kernels/kernels.js';
import type { LinearAlgebra } from '../linalg/linear-algebra.js';
import { loadEngine } from '../linalg/load-engine.js';
import { compressMatrix } from './compress-matrix.js';
import { factorMatrix } from './factor-matrix.js';
import { NotFiniteError } from './load-matrix.js';
import type { MatrixDone, MatrixReply, MatrixRequest } from './matrix-job.js';
import { runMatrixTask } from './matrix-tasks.js';

let ready: { readonly la: LinearAlgebra; readonly kernels: Kernels } | undefined;

async function perform(request: MatrixRequest): Promise<MatrixDone> {
  if (request.kind === 'start') {
    ready = { la: await loadEngine(request.engine), kernels: instantiateKernels(request.kernels) };
    return { kind: 'done' };
  }
  if (ready === undefined) throw new TributaryError('INTERNAL', { what: 'a matrix came before the engine' });
  const { la, kernels } = ready;
  switch (request.kind) {
    case 'compress':
      return { kind: 'done', compressed: compressMatrix(la, kernels, request.sources, request.task) };
    case 'factor':
      return { kind: 'done', factored: factorMatrix(la, kernels, request.sources, request.task) };
    case 'task':
      runMatrixTask(la, kernels, request.sources, request.task);
      return { kind: 'done' };
  }
}

async function answer(request: MatrixRequest): Promise<MatrixReply> {
  try {
    return await perform(request);
  } catch (error) {
    if (error instanceof NotFiniteError) return { kind: 'done', notFinite: error.found };
    return { kind: 'failed', error: toTributaryError(error).toJSON() };
  }
}

parentPort?.on('message', (request: MatrixRequest) => {
  void answer(request).then((reply) => parentPort?.postMessage(reply));
});
