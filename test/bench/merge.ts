/**
 * How fast a whole merge is, process start to exit, against the floor of the machine: `cat` of all inputs and a copy of one (the output is
 * as large). Both run in turn, so that other load on the machine meets both; medians count.
 *
 * Options: --runs N (5), --models N (4), --scale N (1: 0.33 GB a model), --method task_arithmetic | linear, --no-memory, --keep
 */
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Measurement, measure, measureFloor, median } from './measure.js';
import { removeSyntheticCheckpoints, type SyntheticSet, syntheticCheckpoints } from './synthetic-checkpoints.js';

const COMMAND_LINE = fileURLToPath(new URL('../../client/cli/main.js', import.meta.url));
const MERGE_PROCESS = fileURLToPath(new URL('./merge-process.js', import.meta.url));

function writeRecipe(set: SyntheticSet, method: string): string {
  const path = join(set.folder, 'recipe.yml');
  const models = set.models.map(
    (model, index) => `  - {model: ${JSON.stringify(model)}, parameters: {weight: ${(0.2 + 0.1 * (index % 4)).toFixed(1)}}}`,
  );
  const base = method === 'linear' ? '' : `base_model: ${JSON.stringify(set.base)}\n`;
  writeFileSync(path, `merge_method: ${method}\n${base}models:\n${models.join('\n')}\n`);
  return path;
}

function runMerge(set: SyntheticSet, recipe: string): Measurement {
  const out = join(set.folder, 'out');
  rmSync(out, { recursive: true, force: true });
  const args = existsSync(COMMAND_LINE) ? [COMMAND_LINE, 'merge', recipe, '--out', out] : [MERGE_PROCESS, recipe, out];
  return measure(process.execPath, args);
}

const runFloor = (set: SyntheticSet, inputs: readonly string[]): Measurement => measureFloor(inputs, join(set.folder, 'floor'));

const weightsOf = (folder: string): string => join(folder, 'model.safetensors');
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

function benchSpeed(scale: number, models: number, method: string, runs: number): void {
  const set = syntheticCheckpoints(scale, models);
  const recipe = writeRecipe(set, method);
  const inputs = [...(method === 'linear' ? [] : [set.base]), ...set.models].map(weightsOf);
  const inputBytes = inputs.reduce((sum, path) => sum + statSync(path).size, 0);
  runFloor(set, inputs);
  runMerge(set, recipe);
  const merges: Measurement[] = [];
  const floors: Measurement[] = [];
  for (let run = 0; run < runs; run++) {
    floors.push(runFloor(set, inputs));
    merges.push(runMerge(set, recipe));
  }
  const wall = median(merges.map((one) => one.wallSeconds));
  const floor = median(floors.map((one) => one.wallSeconds));
  console.log(
    `${method}, ${models} models of ${megabytes(inputBytes / inputs.length)} bf16, ${inputs.length} files read, one written; medians of ${runs} runs in turn`,
  );
  console.log(
    `  merge   ${wall.toFixed(2)} s wall   ${(inputBytes / 1e9 / wall).toFixed(2)} GB/s of inputs   ${median(merges.map((one) => one.cpuSeconds)).toFixed(2)} s CPU   ${megabytes(Math.max(...merges.map((one) => one.peakBytes)))} peak`,
  );
  console.log(
    `  floor   ${floor.toFixed(2)} s wall   ${(inputBytes / 1e9 / floor).toFixed(2)} GB/s of inputs   ${median(floors.map((one) => one.cpuSeconds)).toFixed(2)} s CPU   (cat of the inputs, cp of one)`,
  );
  console.log(
    `  ratio   ${((100 * floor) / wall).toFixed(0)} % of the floor's speed (run by run: ${merges.map((one, index) => ((100 * (floors[index]?.wallSeconds ?? 0)) / one.wallSeconds).toFixed(0)).join(', ')})`,
  );
}

function benchMemory(method: string): void {
  console.log('peak memory of the process');
  for (const [scale, models] of [
    [1, 2],
    [1, 4],
    [1, 8],
    [4, 4],
  ] as const) {
    const set = syntheticCheckpoints(scale, models, scale === 1 ? 4 : 1);
    const { peakBytes, wallSeconds } = runMerge(set, writeRecipe(set, method));
    console.log(
      `  ${models} models of ${megabytes(statSync(weightsOf(set.base)).size).padStart(7)}: ${megabytes(peakBytes).padStart(6)}   (${wallSeconds.toFixed(2)} s)`,
    );
    rmSync(join(set.folder, 'out'), { recursive: true, force: true });
  }
}

export function benchMerge(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: 'string', default: '5' },
      models: { type: 'string', default: '4' },
      scale: { type: 'string', default: '1' },
      method: { type: 'string', default: 'task_arithmetic' },
      'no-memory': { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
    },
  });
  try {
    benchSpeed(Number(values.scale), Number(values.models), values.method, Number(values.runs));
    if (!values['no-memory']) benchMemory(values.method);
  } finally {
    if (!values.keep) for (const scale of new Set([1, 4, Number(values.scale)])) removeSyntheticCheckpoints(scale);
  }
}
