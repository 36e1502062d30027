/** Accuracy of model folders, by `train evaluate` in as many processes as the plan allows. */
import { DEMO_PLAN } from '../train/demo-plan.js';
import type { HeldOutSplit } from '../train/digits.js';
import type { Evaluation } from '../train/tasks.js';
import { inParallel, type Stage } from './stage.js';

/** @returns one evaluation a folder, in their order */
export async function evaluateFolders(stage: Stage, folders: readonly string[], split: HeldOutSplit = 'test'): Promise<Evaluation[]> {
  const size = Math.ceil(folders.length / DEMO_PLAN.parallel);
  const shares = Array.from({ length: DEMO_PLAN.parallel }, (_, index) => folders.slice(index * size, (index + 1) * size));
  const evaluated = await inParallel(
    shares.filter((share) => share.length > 0),
    (share) => stage.run<Evaluation | { models: Evaluation[] }>('evaluate', ['train', 'evaluate', '--split', split, '--model', ...share]),
  );
  return evaluated.flatMap((one) => ('models' in one ? one.models : [one]));
}
