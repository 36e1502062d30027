/** Runs in a worker thread: designs, fits and searches, which take from milliseconds to seconds and would stop every call meanwhile. */
import { parentPort } from 'node:worker_threads';
import { toTributaryError } from '../../shared/errors/tributary-error.js';
import { attribute } from '../../shared/pareto/attribute.js';
import { nextBatch } from '../../shared/pareto/designs/next-batch.js';
import { whatIf } from '../../shared/pareto/what-if.js';
import { fitStudy } from './fit.js';
import { type FitJobKind, type FitJobs, type FitReply, type FitRequest, packFit, unpackSurrogates } from './fit-jobs.js';

const RUN: { readonly [Kind in FitJobKind]: (input: FitJobs[Kind]['in']) => FitJobs[Kind]['out'] } = {
  propose: ({ spec, history }) => nextBatch(spec, history),
  fit: ({ spec, candidates }) => packFit(fitStudy(spec, candidates, () => performance.now())),
  whatIf: ({ spec, surrogates, without }) => whatIf(spec, unpackSurrogates(surrogates), without),
  attribute: ({ spec, surrogates, coefficients }) => attribute(spec, unpackSurrogates(surrogates), coefficients),
};

function run<Kind extends FitJobKind>({ kind, input }: FitRequest<Kind>): FitJobs[Kind]['out'] {
  return RUN[kind](input);
}

parentPort?.on('message', (request: FitRequest) => {
  let reply: FitReply;
  try {
    reply = { id: request.id, kind: 'done', output: run(request) };
  } catch (error) {
    reply = { id: request.id, kind: 'failed', error: toTributaryError(error).toJSON() };
  }
  parentPort?.postMessage(reply);
});
