/**
 * The lambda of task arithmetic, chosen on validation images that no training and no final number sees. Whoever runs the rounds needs no
 * contribution for it: base + lambda x sum of the N task vectors is base + lambda N x (published mean - base).
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEMO_PLAN } from '../train/demo-plan.js';
import { evaluateFolders } from './measure.js';
import { inParallel, type Stage } from './stage.js';

/** @param mean folder of the published `linear` model */
export async function chooseLambda(
  stage: Stage,
  base: string,
  mean: string,
  lambdas: readonly number[] = DEMO_PLAN.lambdas,
): Promise<number> {
  const folders = await inParallel(lambdas, async (lambda) => {
    const recipe = join(stage.dir, 'lambdas', `${lambda}.yml`);
    const out = join(stage.dir, 'lambdas', `${lambda}`);
    const weight = lambda * DEMO_PLAN.contributors.length;
    writeFileSync(
      recipe,
      `merge_method: task_arithmetic\nbase_model: ${JSON.stringify(base)}\nmodels: [{model: ${JSON.stringify(mean)}, parameters: {weight: ${weight}}}]\n`,
    );
    await stage.run('lambdas', ['merge', recipe, '--out', out]);
    return out;
  });
  const evaluations = await evaluateFolders(stage, folders, 'validation');
  const averages = evaluations.map(({ average }) => average);
  const best = averages.indexOf(Math.max(...averages));
  const lambda = lambdas[best] ?? 1;
  const tried = lambdas.map((one, index) => `${one}: ${(100 * (averages[index] ?? 0)).toFixed(1)}`).join(', ');
  stage.say('lambda', `of task arithmetic on validation images (average %): ${tried}; chosen ${lambda}`);
  return lambda;
}
