/**
 * A contributor that spoils its push: what admission says to it, and what each robust rule makes of what admission lets through. The table is made
 * by offline merges of the same checkpoints, which give the same bytes as a round.
 */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { DEMO_PLAN, type DemoRecipe } from '../train/demo-plan.js';
import type { Evaluation } from '../train/tasks.js';
import { evaluateFolders } from './measure.js';
import { BASE_NAME, inParallel, type Stage, type Trained } from './stage.js';

export interface PoisonRow {
  readonly rule: string;
  /** One for each factor of the plan. */
  readonly evaluations: readonly Evaluation[];
}

export interface PoisonReport {
  readonly rows: readonly PoisonRow[];
  /** What admission said to a NaN. */
  readonly nan: { readonly code: string; readonly what: string };
  /** Norm of the task vector by factor, as `round show` has it; all of these were accepted. */
  readonly norms: readonly { readonly factor: number; readonly norm: number }[];
}

const { contributor, copies, factors, recipes } = DEMO_PLAN.poison;

const quoted = (text: string): string => JSON.stringify(text);

/** base + factor x (model - base), by the command itself. */
async function spoil(stage: Stage, base: string, model: string, factor: number): Promise<string> {
  const out = join(stage.dir, 'poison', `times${factor}`);
  const recipe = `${out}.yml`;
  writeFileSync(
    recipe,
    `merge_method: task_arithmetic\nbase_model: ${quoted(base)}\nmodels: [{model: ${quoted(model)}, parameters: {weight: ${factor}}}]\n`,
  );
  await stage.run(contributor, ['merge', recipe, '--out', out]);
  return out;
}

/** The same checkpoint with its last number not a number. */
function withNaN(stage: Stage, model: string): string {
  const out = join(stage.dir, 'poison', 'nan');
  cpSync(model, out, { recursive: true });
  const file = join(out, 'model.safetensors');
  const bytes = readFileSync(file);
  bytes.writeFloatLE(Number.NaN, bytes.length - 4);
  writeFileSync(file, bytes);
  return out;
}

interface PushedNorm {
  readonly contribution: { readonly taskVectorNorm: number };
}

/** Pushes everything mallory has to one round, as any team would. */
async function meetAdmission(stage: Stage, nan: string, spoiled: readonly string[]): Promise<Pick<PoisonReport, 'nan' | 'norms'>> {
  const round = 'poisoned';
  await stage.run(contributor, ['round', 'create', round, '--base', BASE_NAME, '--method', 'median']);
  const push = (folder: string): Promise<PushedNorm> =>
    stage.run<PushedNorm>(contributor, ['push', folder, '--round', round, '--as', contributor]);
  const refused = await push(nan).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(refused instanceof TributaryError)) throw refused ?? new TributaryError('INTERNAL', { what: 'a push with a NaN was accepted' });
  const norms = [];
  for (const [index, folder] of spoiled.entries()) {
    const { taskVectorNorm } = (await push(folder)).contribution;
    norms.push({ factor: factors[index] ?? 1, norm: taskVectorNorm });
  }
  await stage.run(contributor, ['round', 'cancel', round]);
  return { nan: { code: refused.code, what: refused.details.what }, norms };
}

async function mergeWith(
  stage: Stage,
  recipe: DemoRecipe,
  base: string,
  teams: readonly Trained[],
  poison: string,
  factor: number,
): Promise<string> {
  const out = join(stage.dir, 'poison', `${recipe.name}-times${factor}`);
  const copied = teams.find(({ name }) => name === copies);
  const spoiled = { name: contributor, folder: poison, samples: copied?.samples ?? 1 };
  // The order of a round is that of the names.
  const models = [...teams, spoiled].sort((a, b) => (a.name < b.name ? -1 : 1));
  const lines = models.map(({ folder, samples }) => `  - {model: ${quoted(folder)}, samples: ${samples}}\n`).join('');
  writeFileSync(`${out}.yml`, `${recipe.yaml}base_model: ${quoted(base)}\nmodels:\n${lines}`);
  await stage.run('poison', ['merge', `${out}.yml`, '--out', out]);
  return out;
}

export async function playPoison(stage: Stage, base: string, teams: readonly Trained[]): Promise<PoisonReport> {
  const model = teams.find(({ name }) => name === copies)?.folder ?? '';
  const spoiled = await inParallel(factors, (factor) => spoil(stage, base, model, factor));
  const admission = await meetAdmission(stage, withNaN(stage, model), spoiled);
  stage.say(contributor, `pushed a NaN: ${admission.nan.what} [${admission.nan.code}], quarantined`);
  for (const { factor, norm } of admission.norms)
    stage.say(contributor, `pushed its task vector x ${factor}: accepted, norm ${norm.toFixed(1)}`);
  const jobs = recipes.flatMap((recipe) => factors.map((factor, index) => ({ recipe, factor, poison: spoiled[index] ?? '' })));
  const folders = await inParallel(jobs, ({ recipe, factor, poison }) => mergeWith(stage, recipe, base, teams, poison, factor));
  const evaluations = await evaluateFolders(stage, folders);
  const rows = recipes.map(
    (recipe, index): PoisonRow => ({
      rule: recipe.name,
      evaluations: evaluations.slice(index * factors.length, (index + 1) * factors.length),
    }),
  );
  return { ...admission, rows };
}
