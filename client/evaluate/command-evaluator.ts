/** Any program as an evaluator: it is given the candidate's folder and says its metrics as JSON, printed or left in a file. */
import { appendFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { CommandConfig } from './command-config.js';
import type { EvaluationJob, EvaluationOutcome, Evaluator } from './evaluator.js';
import { type FoundJson, findLastJson } from './find-json.js';
import { listOutputs, newestOutput } from './output-files.js';
import { fillShell, fillWord, type PlaceholderValues, variableOf } from './placeholders.js';
import { readMetrics } from './read-metrics.js';
import { requireProgram } from './require-program.js';
import { type ProgramResult, runProgram } from './run-program.js';
import { answers, type CommandOutput, type Sharing } from './sharing.js';

interface Surroundings {
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What a shell answers for a command it does not find, and for one it may not run. */
const SHELL_UNAVAILABLE = [126, 127];

/**
 * @param sharing with tasks that run the same program; undefined: this one runs it for itself
 * @throws EVALUATOR_UNAVAILABLE
 */
export async function openCommandEvaluator(
  task: string,
  config: CommandConfig,
  surroundings: Surroundings,
  sharing?: Sharing,
): Promise<Evaluator> {
  const at = { folder: resolve(surroundings.folder, config.cwd ?? '.'), environment: surroundings.environment };
  await requireProgram(task, config, at.folder, { ...at.environment, ...config.env });
  return {
    name: `command of task ${task}`,
    evaluate: async (job) => {
      if (sharing === undefined) return outcomeOf(await run(config, at, job, undefined), config, job);
      const { output, ranFor } = await sharing.runs.take({
        candidate: JSON.stringify([job.round, job.candidate, job.digest]),
        task: job.task,
        signal: job.signal,
        run: () => run(config, at, job, sharing),
        accepts: (other) => answers(other, job, config, sharing),
      });
      if (ranFor === job.task) return outcomeOf(output, config, job);
      await appendFile(job.logFile, `${titleOf(job)}\ntaken from the run for task ${ranFor}: ${output.logFile}\n`);
      return { ...outcomeOf(output, config, job), ranFor };
    },
    close: async () => undefined,
  };
}

const titleOf = ({ round, candidate, task }: EvaluationJob): string => `round ${round}, candidate ${candidate}, task ${task}`;

async function run(config: CommandConfig, at: Surroundings, job: EvaluationJob, sharing: Sharing | undefined): Promise<CommandOutput> {
  const scratch = await mkdtemp(join(tmpdir(), 'tributary-evaluation-'));
  try {
    return await runOnce(config, at, job, placeholderValues(job, join(scratch, 'output'), sharing));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function runOnce(
  config: CommandConfig,
  { folder, environment }: Surroundings,
  job: EvaluationJob,
  values: PlaceholderValues,
): Promise<CommandOutput> {
  const scratch = values.get('output') as string;
  const pattern = config.output === undefined ? scratch : fillWord(config.output, values);
  if ([config.command, config.output ?? ''].flat().some((word) => word.includes('{output}/'))) await mkdir(scratch);
  const command =
    typeof config.command === 'string' ? fillShell(config.command, values) : config.command.map((word) => fillWord(word, values));
  await appendFile(job.logFile, `${titleOf(job)}\n$ ${shown(config.command, values)}\n`);
  const before = await listOutputs(pattern, folder);
  const variables = Object.fromEntries([...values].map(([name, value]) => [variableOf(name), value]));
  const result = await runProgram({
    command,
    folder,
    environment: { ...environment, ...config.env, ...variables },
    logFile: job.logFile,
    signal: job.signal,
  });
  checkEnd(result, config, job);
  const left = newestOutput(before, await listOutputs(pattern, folder));
  if (left === undefined && config.output !== undefined) {
    fail(job, 'the program left no new JSON file', { expected: config.output, got: lastWords(result) });
  }
  const found = findLastJson(left === undefined ? result.stdout : await readFile(left, 'utf8'));
  const where = left ?? job.logFile;
  if (found.document === undefined) noDocument(found, result, job, where);
  return { document: found.document, where, logFile: job.logFile };
}

function outcomeOf({ document, where }: CommandOutput, config: CommandConfig, job: EvaluationJob): EvaluationOutcome {
  const outcome = readMetrics(document, { task: job.task, metric: job.metric, lmTask: config.lm_task, where });
  const { gradient } = outcome;
  if (gradient !== undefined && gradient.length !== job.coefficients.length) {
    const expected = `${job.coefficients.length}, one for each coefficient`;
    fail(job, 'gradient has the wrong number of entries', { expected, got: `${gradient.length}` });
  }
  return outcome;
}

/**
 * @param scratch `{output}`: a path at which nothing is; a folder when the command names something below it
 * @param sharing a program whose output is for several tasks is told all of them: one that measures what TRIBUTARY_TASK says must not pass its
 * numbers for another task's
 */
function placeholderValues(job: EvaluationJob, scratch: string, sharing: Sharing | undefined): PlaceholderValues {
  const several = sharing?.byMetric.includes(job.task) === true;
  return new Map([
    ['model', job.folder],
    ['task', several ? sharing.byMetric.join(',') : job.task],
    ['metric', job.metric],
    ['round', job.round],
    ['candidate', `${job.candidate}`],
    ['coefficients', JSON.stringify(job.coefficients)],
    ['output', scratch],
  ]);
}

function shown(command: CommandConfig['command'], values: PlaceholderValues): string {
  return typeof command === 'string' ? command : command.map((word) => fillWord(word, values)).join(' ');
}

function checkEnd(result: ProgramResult, { command }: CommandConfig, job: EvaluationJob): void {
  const { ended } = result;
  if (ended === 0) return;
  if (typeof command === 'string' && typeof ended === 'number' && SHELL_UNAVAILABLE.includes(ended)) {
    throw new TributaryError('EVALUATOR_UNAVAILABLE', {
      what: `the shell ended with exit code ${ended}: a program of the command is not there or may not be run`,
      where: job.logFile,
      got: lastWords(result),
    });
  }
  const how = typeof ended === 'number' ? `ended with exit code ${ended}` : `was killed by ${ended}`;
  fail(job, `the program of task ${job.task} ${how}`, { expected: 'exit code 0', got: lastWords(result) });
}

function noDocument({ problem }: FoundJson, result: ProgramResult, job: EvaluationJob, where: string): never {
  throw new TributaryError('EVALUATION_FAILED', {
    what: `no JSON object in what the program of task ${job.task} ${where === job.logFile ? 'printed' : 'left'}`,
    where,
    expected: `{"${job.metric}": NUMBER}`,
    got: problem ?? lastWords(result),
    fix: 'Print the metrics with json.dumps, or leave them in {output}.',
  });
}

const lastWords = ({ lastLines }: ProgramResult): string => (lastLines === '' ? 'no output' : `\n${lastLines}\n`);

function fail(job: EvaluationJob, what: string, details: { expected: string; got: string }): never {
  throw new TributaryError('EVALUATION_FAILED', { what, where: job.logFile, ...details });
}
