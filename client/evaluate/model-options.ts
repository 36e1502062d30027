/** What evaluators that run a model over a file of data can be told, whatever runs the model. */
import { z } from 'zod';
import { MEASURE_NAMES } from './measures.js';

export const MODEL_OPTIONS = {
  /** .parquet, .npz or .safetensors. */
  data: z.string().min(1),
  /** Column with the classes, the values (mse) or the tokens. */
  label: z.string().min(1).optional(),
  /** What is computed; default: the metric that is asked for. */
  metric: z.enum(MEASURE_NAMES).optional(),
  /** Weight of the model (or initializer of the graph) to tensor of the candidate; one `*` in both stands for the same text: `"model.*": "*"`. */
  weights: z.record(z.string(), z.string()).optional(),
  /** Weights that hold the transpose of the candidate's matrix: Keras has kernels as [inputs, outputs], PyTorch the other way. */
  transpose: z.array(z.string()).optional(),
  batch: z.int().positive().default(64),
  average: z.enum(['macro', 'micro', 'binary']).optional(),
  threshold: z.number().optional(),
  /** Position t predicts label t + 1. */
  shift: z.boolean().optional(),
  /** The output went through softmax already. */
  probabilities: z.boolean().optional(),
};
