/** What every act of the demo works with. */
import { join } from 'node:path';
import { enginesFolder } from '../../shared/linalg/engines-folder.js';
import { DEMO_PLAN } from '../train/demo-plan.js';

export interface Stage {
  /** Everything the demo leaves. */
  readonly dir: string;
  /** A line for whoever watches. */
  readonly say: (who: string, what: string) => void;
  /** Runs a command as a process of its own; `who` names its log. */
  readonly run: <T>(who: string, args: readonly string[]) => Promise<T>;
  /** Starts a command that runs until it is stopped. */
  readonly start: (who: string, args: readonly string[]) => { stop(): Promise<void> };
}

export const BASE_NAME = 'digits-base';

/** What `train base` and `train fine-tune` report. */
export interface TrainReport {
  readonly samples: number;
  readonly steps: number;
}

/** A team that has trained. */
export interface Trained extends TrainReport {
  readonly name: string;
  readonly folder: string;
}

/**
 * The user's own configuration must not reach the demo, nor the demo's the user's caches. Engines that are installed are there for everyone.
 * @param dir holds client.yaml
 */
export function isolatedEnvironment(
  dir: string,
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const inherited = Object.entries(environment).filter(([name]) => !name.startsWith('TRIBUTARY_'));
  return {
    ...Object.fromEntries(inherited),
    TRIBUTARY_CONFIG: join(dir, 'client.yaml'),
    TRIBUTARY_ENGINES: enginesFolder(environment),
    XDG_CACHE_HOME: join(dir, 'cache'),
  };
}

/** A few at a time, in their order. */
export async function inParallel<Item, Result>(items: readonly Item[], body: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) results[index] = await body(items[index] as Item);
  };
  await Promise.all(Array.from({ length: DEMO_PLAN.parallel }, worker));
  return results;
}
