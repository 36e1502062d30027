/** Entry of a worker thread: takes one job at a time, answers once, keeps nothing between jobs. */
import { parentPort } from 'node:worker_threads';
import { toTributaryError } from '../errors/tributary-error.js';
import { CONTROL, type Finding, type Job, type Reply, type Request } from './protocol.js';

async function perform(job: Job): Promise<readonly Finding[]> {
  switch (job.kind) {
    case 'merge':
      return (await import('./merge-tiles.js')).mergeTiles(job);
    case 'look':
      return (await import('./look-tiles.js')).lookAtAll(job);
    case 'norms':
      return (await import('./sum-norms.js')).sumNorms(job);
    case 'hash':
      return (await import('./hash-sources.js')).hashSources(job);
  }
}

async function answer({ id, job }: Request): Promise<Reply> {
  try {
    return { kind: 'done', id, findings: await perform(job) };
  } catch (error) {
    Atomics.store(job.control, CONTROL.stop, 1);
    return { kind: 'failed', id, error: toTributaryError(error).toJSON() };
  }
}

parentPort?.on('message', (request: Request) => {
  void answer(request).then((reply) => parentPort?.postMessage(reply));
});
// The first job is nearly always a merge: load its code while the main thread is still reading the recipe.
void import('./merge-tiles.js');
