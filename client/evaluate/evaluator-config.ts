/** How a task of agent.yaml is evaluated, as it is written. */
import { z } from 'zod';
import { commandFields } from './command-config.js';
import { onnxSchema } from './onnx/config.js';
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
