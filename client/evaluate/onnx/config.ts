/** The options of an `onnx` evaluator, as they stand in agent.yaml. */
import { z } from 'zod';
import { MODEL_OPTIONS } from '../model-options.js';

export const onnxSchema = z.strictObject({
  ...MODEL_OPTIONS,
  graph: z.string().min(1),
  /** Input of the graph to column of the data; default: the column of the same name. */
  inputs: z.record(z.string(), z.string()).optional(),
  /** Which output holds the scores; default: the first. */
  output: z.string().min(1).optional(),
  /** Threads of onnxruntime; default: its own choice. */
  threads: z.int().positive().optional(),
  /** Execution providers of onnxruntime, the preferred first; default: the CPU. */
  providers: z.array(z.string().min(1)).min(1).optional(),
});

export type OnnxConfig = z.infer<typeof onnxSchema>;
