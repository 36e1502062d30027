/** The options of a `command` evaluator, as they stand in agent.yaml. */
import { z } from 'zod';

export const commandFields = {
  /** A list is run as it is; a text is given to the shell. */
  command: z.union([z.string().min(1), z.array(z.string()).min(1)]),
  /** Added to the agent's own environment. */
  env: z.record(z.string(), z.string()).optional(),
  /** Where the program runs; default: the folder that relative paths of the configuration start from. */
  cwd: z.string().min(1).optional(),
  /** A file, a folder or a pattern (`*`, `**`, `?`) that the program leaves its JSON in, instead of printing it. */
  output: z.string().min(1).optional(),
  /** The task of lm-evaluation-harness to take, where its results hold several. */
  lm_task: z.string().min(1).optional(),
};

export interface CommandConfig {
  readonly command: string | readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  readonly output?: string | undefined;
  readonly lm_task?: string | undefined;
}
