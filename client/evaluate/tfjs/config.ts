/** The options of a `tfjs` evaluator, as they stand in agent.yaml. */
import { z } from 'zod';
import { BACKEND_NAMES } from '../../train/backend.js';
import { DOMAINS } from '../../train/domains.js';
import { MODEL_OPTIONS } from '../model-options.js';

/** Which images the demo's network is measured on. */
const digitsSchema = z.strictObject({
  domain: z.enum(DOMAINS),
  split: z.enum(['validation', 'test']).default('validation'),
  /** The first so many of the split; default: all of them. */
  images: z.int().positive().optional(),
});

const backendField = { backend: z.enum(BACKEND_NAMES).optional() };

const layersFields = {
  ...MODEL_OPTIONS,
  /** model.json of tf.LayersModel.save, or the topology alone. */
  model: z.string().min(1),
  /** Columns for the model's inputs, in their order, or by name. */
  inputs: z.union([z.array(z.string()).min(1), z.record(z.string(), z.string())]).optional(),
};

export const digitsTaskSchema = z.strictObject({ digits: digitsSchema, ...backendField });
export const layersTaskSchema = z.strictObject({ ...layersFields, ...backendField });

/** Either the demo's network or a LayersModel. */
export const tfjsSchema = z.union([digitsTaskSchema, layersTaskSchema]);

export type DigitsConfig = z.infer<typeof digitsTaskSchema>;
export type LayersConfig = z.infer<typeof layersTaskSchema>;
