/**
 * What every evaluator has in common: a time limit for each try, and more tries after a failure that may pass. An evaluator only has to heed
 * its signal; the reason of that signal says which of the two ended it.
 */
import { appendFile, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import type { EvaluationJob, EvaluationOutcome, Evaluator } from './evaluator.js';

export interface Patience {
  readonly timeoutSeconds: number;
  /** Tries after the first. */
  readonly retries: number;
}

/** Failures of one run that another may not have; anything else (a missing program, wrong data) stays. */
const PASSING = new Set(['EVALUATION_FAILED', 'IO_ERROR']);

/** @throws what the last try threw, with the reasons of the earlier ones; INTERRUPTED when the job's own signal fires */
export async function evaluatePatiently(evaluator: Evaluator, job: EvaluationJob, patience: Patience): Promise<EvaluationOutcome> {
  await mkdir(dirname(job.logFile), { recursive: true });
  const earlier: string[] = [];
  for (let tries = 1; ; tries += 1) {
    try {
      return await withTimeLimit(evaluator, job, patience.timeoutSeconds);
    } catch (error) {
      throwIfStopped(job.signal);
      const failure = toTributaryError(error, job.folder);
      await appendFile(job.logFile, `try ${tries} failed, ${failure.code}: ${failure.message}\n`);
      if (!PASSING.has(failure.code)) throw failure;
      if (tries > patience.retries) throw afterAll(failure, earlier);
      earlier.push(failure.message);
    }
  }
}

/** The last failure, and what the tries before it met. */
function afterAll(failure: TributaryError, earlier: readonly string[]): TributaryError {
  if (earlier.length === 0) return failure;
  const different = [...new Set(earlier)].filter((message) => message !== failure.message);
  const before = different.length === 0 ? 'each time' : `before that: ${different.join(' | ')}`;
  const details = { ...failure.details, what: `${failure.details.what} (tried ${earlier.length + 1} times; ${before})` };
  return new TributaryError(failure.code, details, { cause: failure });
}

async function withTimeLimit(evaluator: Evaluator, job: EvaluationJob, timeoutSeconds: number): Promise<EvaluationOutcome> {
  const limit = new AbortController();
  const timer = setTimeout(() => {
    limit.abort(
      new TributaryError('EVALUATION_FAILED', {
        what: `the evaluation of task ${job.task} ran out of time`,
        where: job.logFile,
        expected: `an end within ${timeoutSeconds} s`,
        fix: 'Raise timeout_seconds, or evaluate on fewer examples.',
      }),
    );
  }, timeoutSeconds * 1000);
  try {
    return await evaluator.evaluate({ ...job, signal: AbortSignal.any([job.signal, limit.signal]) });
  } finally {
    clearTimeout(timer);
  }
}

/** @throws the signal's reason if it is one of ours (a time limit), else INTERRUPTED */
export function throwIfStopped(signal: AbortSignal): void {
  if (!signal.aborted) return;
  if (signal.reason instanceof TributaryError) throw signal.reason;
  throw new TributaryError('INTERRUPTED', { what: 'the evaluation was stopped; nothing is reported' }, { cause: signal.reason });
}
