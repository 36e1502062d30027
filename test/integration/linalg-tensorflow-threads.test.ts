/** libtensorflow in worker threads: what the pool of engine threads relies on. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { createTensorflowEngine } from '../../shared/linalg/tensorflow.js';
import { gaussianMatrix } from '../support/linalg-matrices.js';
import { describeNative } from '../support/native-engine.js';
import { NO_TENSORFLOW, TENSORFLOW } from '../support/tensorflow-here.js';

const MODULE = new URL('../../shared/linalg/tensorflow.js', import.meta.url).href;

/** Answers every matrix with its spectrum; told to spin, it answers and then computes for ever. */
const WORKER = `
const { parentPort, workerData } = require('node:worker_threads');
import(workerData.module).then(async ({ createTensorflowEngine }) => {
  const engine = await createTensorflowEngine(workerData.choice);
  parentPort.on('message', ({ matrix, spin }) => {
    const spectrum = engine.spectrum(matrix);
    parentPort.postMessage([spectrum.values, spectrum.vectors(5).data]);
    while (spin) engine.svd(matrix);
  });
});
`;

const start = (): Worker => new Worker(WORKER, { eval: true, workerData: { module: MODULE, choice: TENSORFLOW } });

async function ask(worker: Worker, spin = false): Promise<unknown> {
  worker.postMessage({ matrix: gaussianMatrix(90, 70, 1), spin });
  return (await once(worker, 'message'))[0];
}

describeNative('tensorflow', NO_TENSORFLOW, () => {
  it('computes the same bits in one worker after the other, also after one was terminated at work, and beside the main thread', async () => {
    const first = start();
    const expected = await ask(first);
    expect(await ask(first)).toEqual(expected);
    await first.terminate();

    const busy = start();
    expect(await ask(busy, true)).toEqual(expected);
    await busy.terminate();

    const engine = await createTensorflowEngine(TENSORFLOW);
    const here = engine.spectrum(gaussianMatrix(90, 70, 1));
    expect([here.values, here.vectors(5).data]).toEqual(expected);

    const last = start();
    expect(await ask(last)).toEqual(expected);
    await last.terminate();
  });
});
