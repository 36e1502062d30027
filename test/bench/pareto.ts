/**
 * `npm run bench -- pareto`: fits and fronts of random tasks, as many coefficients as tasks, beside NSGA-III of pymoo on the same
 * surrogates in the same run. A task is an accuracy, sigmoid of a concave quadratic that is best near its own contribution at full weight
 * and suffers from the others, measured with noise. Hypervolumes are of predicted metrics, by one estimator from one reference point, once
 * with as many points as pymoo returns and once as served. Python 3 is needed; pymoo is installed the first time.
 *
 * Options: --tasks 2,4,8,16  --runs N (5)  --generations N (200; pymoo's)  --seed N (1)  --venv FOLDER (an environment with pymoo)
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { table } from '../../client/cli/table.js';
import { fitSurrogates } from '../../shared/pareto/fit-surrogates.js';
import { gradientFront } from '../../shared/pareto/gradient-front.js';
import { hypervolume } from '../../shared/pareto/hypervolume.js';
import { surrogateProblem } from '../../shared/pareto/objectives.js';
import { quadraticSize, quadraticValue } from '../../shared/pareto/quadratic.js';
import { nsga3Front, searchFront } from '../../shared/pareto/search-front.js';
import { seededRandom } from '../../shared/pareto/seeded-random.js';
import type { MeasuredCandidate, StudySpec } from '../../shared/pareto/study.js';
import { median } from './measure.js';
import { installPymoo, runPymoo } from './peers/pymoo-front.js';

/** Partitions of pymoo's reference directions: 100, 120, 128 and 136 of them. */
const LAYERS: Readonly<Record<number, readonly number[]>> = { 2: [99], 4: [7], 8: [3, 1], 16: [2] };
const NOISE = 0.005;

function studyOf(tasks: number, seed: number): StudySpec {
  const names = Array.from({ length: tasks }, (_, t) => `team-${String(t).padStart(2, '0')}`);
  return {
    tasks: names.map((name) => ({ name, metric: 'accuracy', direction: 'maximize', lower: 0, upper: 1 })),
    dimensions: names.map((name) => ({ name, contributor: name, lower: 0, upper: 1, neutral: 1 })),
    contributors: names,
    method: 'map',
    sampler: 'uniform',
    seed,
    preferences: new Map(),
    greedySoup: false,
    surrogate: { link: 'sigmoid', ridge: 'auto', minR2: 0.2 },
  };
}

/** q = level - sum of stiffness_i (c_i - best_i)^2 + interference of pairs; parameters in the order of quadratic.ts. */
function randomQuadratic(n: number, own: number, random: () => number): number[] {
  const best = Array.from({ length: n }, (_, i) => (i === own ? 0.8 + 0.2 * random() : 0.3 * random()));
  const stiffness = Array.from({ length: n }, (_, i) => (i === own ? 3 : 1) + random());
  const parameters = Array.from({ length: quadraticSize(n) }, () => 0);
  const linear = n + (n * (n - 1)) / 2;
  for (let i = 0; i < n; i++) {
    const a = stiffness[i] ?? 0;
    const b = best[i] ?? 0;
    parameters[i] = -a;
    parameters[linear + i] = 2 * a * b;
    parameters[linear + n] = (parameters[linear + n] ?? 0) - a * b * b;
  }
  for (let k = n; k < linear; k++) parameters[k] = (random() - 0.7) / n;
  parameters[linear + n] = (parameters[linear + n] ?? 0) + 2;
  return parameters;
}

function measuredOf({ tasks, dimensions, seed }: StudySpec): MeasuredCandidate[] {
  const random = seededRandom(seed);
  const n = dimensions.length;
  const quadratics = tasks.map((_, t) => randomQuadratic(n, t, random));
  return Array.from({ length: (n + 1) * (n + 2) }, (_, id) => {
    const coefficients = Array.from({ length: n }, random);
    const measured = quadratics.map((parameters) => {
      // Three uniform numbers make a bell.
      const bell = 2 * (random() + random() + random()) - 3;
      const value = 1 / (1 + Math.exp(-quadraticValue(parameters, coefficients))) + NOISE * bell;
      return { value: Math.min(1, Math.max(0, value)), standardError: NOISE };
    });
    return { id, batch: 0, kind: 'sample', coefficients, measured };
  });
}

/** The first time and the median of the others, in milliseconds. */
function timed<Result>(runs: number, action: () => Result): { readonly result: Result; readonly first: number; readonly ms: number } {
  const times: number[] = [];
  let result: Result | undefined;
  for (let run = 0; run <= runs; run++) {
    const start = performance.now();
    result = action();
    times.push(performance.now() - start);
  }
  const [first = Number.NaN, ...others] = times;
  return { result: result as Result, first, ms: median(others) };
}

export function benchPareto(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: {
      tasks: { type: 'string', default: '2,4,8,16' },
      runs: { type: 'string', default: '5' },
      generations: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      venv: { type: 'string' },
    },
  });
  const runs = Number(values.runs);
  const seed = Number(values.seed);
  const python = installPymoo(values.venv);
  const folder = mkdtempSync(join(tmpdir(), 'tributary-bench-'));
  const times: string[][] = [];
  const volumes: string[][] = [];
  let library = '';
  try {
    for (const count of values.tasks.split(',').map(Number)) {
      const study = studyOf(count, seed);
      const candidates = measuredOf(study);
      const fit = timed(Math.min(runs, 3), () => fitSurrogates(study, candidates));
      const surrogates = fit.result;
      const layers = LAYERS[count] ?? [1];
      const job = { parameters: surrogates.map(({ parameters }) => parameters), layers, generations: Number(values.generations), seed };
      const peer = runPymoo(python, join(folder, 'job.json'), job);
      library = peer.library;
      const search = timed(runs, () => searchFront(study, surrogates));
      const front = search.result;
      const problem = surrogateProblem(study.tasks, study.dimensions, surrogates);
      const most = front.points.length;
      const nsga3 = timed(runs, () => nsga3Front(problem, seed, most));
      const gradient = timed(runs, () => gradientFront(problem, { mostPoints: most, seed }));
      const equal = searchFront(study, surrogates, { mostPoints: peer.points.length });
      const directions = study.tasks.map(({ direction }) => direction);
      const fronts = [peer.points, equal.points.map(({ predicted }) => predicted), front.points.map(({ predicted }) => predicted)];
      const reference = directions.map((_, t) => {
        const all = fronts.flatMap((points) => points.map((point) => point[t] ?? Number.NaN));
        return Math.min(...all) - 0.1 * (Math.max(...all) - Math.min(...all));
      });
      const [theirs, same, served] = fronts.map((points) => hypervolume(points, reference, directions, { samples: 65_536 }));
      const share = (volume = theirs): string => ((volume?.value ?? 0) / (theirs?.value ?? 1)).toFixed(4);
      const error = (theirs?.standardError ?? 0) / (theirs?.value ?? 1);
      times.push([
        `${count}`,
        fit.ms.toFixed(0),
        nsga3.ms.toFixed(0),
        gradient.ms.toFixed(0),
        search.first.toFixed(0),
        search.ms.toFixed(0),
        (1000 * peer.seconds).toFixed(0),
        ((1000 * peer.seconds) / search.ms).toFixed(1),
      ]);
      const estimator = theirs?.method === 'exact' ? 'exact' : `sampled, ${(100 * error).toFixed(2)} %`;
      volumes.push([
        `${count}`,
        `${peer.points.length}`,
        `${equal.points.length}`,
        share(same),
        `${most}`,
        share(served),
        front.solver,
        estimator,
      ]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  const right = [0, 1, 2, 3, 4, 5, 6, 7];
  const head = ['tasks', 'fit ms', 'NSGA-III ms', 'Newton ms', 'search, first ms', 'search ms', `${library} ms`, 'times faster'];
  console.log(
    `Milliseconds; the search runs both solvers and measures their hypervolumes; pymoo: NSGA-III, ${values.generations} generations\n`,
  );
  console.log(table(head, times, right));
  console.log('\nHypervolumes, relative to pymoo\n');
  console.log(
    table(
      ['tasks', 'pymoo points', 'our points', 'hypervolume', 'as served', 'hypervolume', 'served by', 'estimator'],
      volumes,
      [0, 1, 2, 3, 4, 5],
    ),
  );
}
