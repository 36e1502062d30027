/** What every act of the demo works with. */
import { DEMO_PLAN } from '../train/demo-plan.js';

export interface Stage {
  /** Everything the demo leaves. */
  readonly dir: string;
  /** A line for whoever watches. */
  readonly say: (who: string, what: string) => void;
  /** Runs a command as a process of its own; `who` names its log. */
  readonly run: <T>(who: string, args: readonly string[]) => Promise<T>;
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
