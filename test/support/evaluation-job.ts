import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { EvaluationJob } from '../../client/evaluate/evaluator.js';
import { type EvaluatorConfig, evaluatorSchema } from '../../client/evaluate/evaluator-config.js';

/** A job with a log file of its own below `folder`; `changes` say what matters. */
export function evaluationJob(folder: string, changes: Partial<EvaluationJob> = {}): EvaluationJob {
  return {
    round: 'r1',
    candidate: 7,
    task: 'upright',
    metric: 'accuracy',
    coefficients: [0.25, 0.5],
    digest: 'of-0.25-0.5',
    folder,
    logFile: join(mkdtempSync(join(folder, 'log-')), 'evaluation.log'),
    signal: new AbortController().signal,
    ...changes,
  };
}

export const evaluatorConfig = (config: object): EvaluatorConfig => evaluatorSchema.parse(config);
