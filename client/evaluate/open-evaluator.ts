/**
 * From the words of agent.yaml to something that measures candidates. What an evaluator needs (onnxruntime-node, TensorFlow.js, readers of data)
 * is loaded only when one of its kind is opened.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { EvaluationJob, Evaluator } from './evaluator.js';
import type { EvaluatorConfig } from './evaluator-config.js';
import { evaluatePatiently } from './retrying.js';
import type { Sharing } from './sharing.js';

export interface EvaluatorSurroundings {
  /** Where relative paths of the configuration start from; default: the working folder. */
  readonly folder?: string | undefined;
  /** What programs inherit; default: the environment of this process. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** With tasks that run the same program. */
  readonly sharing?: Sharing | undefined;
}

/** @throws EVALUATOR_UNAVAILABLE, DATA_INVALID, CONFIG_INVALID, IO_ERROR */
export async function openEvaluator(task: string, config: EvaluatorConfig, surroundings: EvaluatorSurroundings = {}): Promise<Evaluator> {
  const inner = await openKind(task, config, surroundings);
  const patience = { timeoutSeconds: config.timeout_seconds, retries: config.retries };
  return {
    name: inner.name,
    evaluate: (job: EvaluationJob) => evaluatePatiently(inner, { ...job, metric: config.metric ?? job.metric }, patience),
    close: () => inner.close(),
  };
}

async function openKind(task: string, config: EvaluatorConfig, surroundings: EvaluatorSurroundings): Promise<Evaluator> {
  const { folder = process.cwd(), environment = process.env, sharing } = surroundings;
  const { command, onnx, tfjs } = config;
  if (onnx !== undefined) return (await import('./onnx/onnx-evaluator.js')).openOnnxEvaluator(task, onnx, folder);
  if (tfjs !== undefined && 'digits' in tfjs) return (await import('./tfjs/digits-evaluator.js')).openDigitsEvaluator(task, tfjs);
  if (tfjs !== undefined) return (await import('./tfjs/layers-evaluator.js')).openLayersEvaluator(task, tfjs, folder);
  if (command === undefined) throw new TributaryError('CONFIG_INVALID', { what: `task ${task} has no evaluator` });
  return (await import('./command-evaluator.js')).openCommandEvaluator(task, { ...config, command }, { folder, environment }, sharing);
}
