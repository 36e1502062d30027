/**
 * From the words of agent.yaml to something that measures candidates. What an evaluator needs (onnxruntime-node, TensorFlow.js, readers of data)
 * is loaded only when one of its kind is opened.
 */
import { z } from 'zod';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { commandFields } from './command-config.js';
import type { EvaluationJob, Evaluator } from './evaluator.js';
import { onnxSchema } from './onnx/config.js';
import { evaluatePatiently } from './retrying.js';
import type { Sharing } from './sharing.js';
import { tfjsSchema } from './tfjs/config.js';

/** Two weeks: more than setTimeout can count is no time limit. */
const MAX_TIMEOUT_SECONDS = 14 * 24 * 3600;

const commonFields = {
  /** The key to take from what is reported; default: the study's metric. */
  metric: z.string().min(1).optional(),
  timeout_seconds: z.number().positive().max(MAX_TIMEOUT_SECONDS).default(3600),
  /** Tries after the first. */
  retries: z.int().min(0).max(100).default(1),
};

const KINDS = ['command', 'onnx', 'tfjs'] as const;
const COMMAND_ONLY = ['env', 'cwd', 'output', 'lm_task'] as const;

/** Exactly one kind, with the options of that kind only. */
export const evaluatorSchema = z
  .strictObject({
    ...commonFields,
    ...commandFields,
    command: commandFields.command.optional(),
    onnx: onnxSchema.optional(),
    tfjs: tfjsSchema.optional(),
  })
  .superRefine((config, context) => {
    const given = KINDS.filter((kind) => config[kind] !== undefined);
    const issue = (message: string): void => context.addIssue({ code: 'custom', message });
    if (given.length !== 1)
      issue(`exactly one of ${KINDS.join(', ')} must be there, not ${given.length === 0 ? 'none' : given.join(' and ')}`);
    const foreign = COMMAND_ONLY.filter((key) => config[key] !== undefined);
    if (config.command === undefined && foreign.length > 0) issue(`${foreign.join(', ')} only mean something beside command`);
  });

/** One task of agent.yaml, checked and with its defaults. */
export type EvaluatorConfig = z.infer<typeof evaluatorSchema>;

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
