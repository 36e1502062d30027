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
import { type ProgramResult, runProgram } from './run-program.js';

interface Surroundings {
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What a shell answers for a command it does not find, and for one it may not run. */
const SHELL_UNAVAILABLE = [126, 127];

export function openCommandEvaluator(task: string, config: CommandConfig, surroundings: Surroundings): Evaluator {
  const folder = resolve(surroundings.folder, config.cwd ?? '.');
  return {
    name: `command of task ${task}`,
    evaluate: async (job) => {
      const scratch = await mkdtemp(join(tmpdir(), 'tributary-evaluation-'));
      try {
        return await evaluateOnce(config, { folder, environment: surroundings.environment }, job, join(scratch, 'output'));
      } finally {
        await rm(scratch, { recursive: true, force: true });
      }
    },
    close: async () => undefined,
  };
}

/** @param scratch `{output}`: a path at which nothing is; a folder when the command names something below it */
async function evaluateOnce(
  config: CommandConfig,
  { folder, environment }: Surroundings,
  job: EvaluationJob,
  scratch: string,
): Promise<EvaluationOutcome> {
  const values = placeholderValues(job, scratch);
  const pattern = config.output === undefined ? scratch : fillWord(config.output, values);
  if ([config.command, config.output ?? ''].flat().some((word) => word.includes('{output}/'))) await mkdir(scratch);
  const command =
    typeof config.command === 'string' ? fillShell(config.command, values) : config.command.map((word) => fillWord(word, values));
  await appendFile(job.logFile, `round ${job.round}, candidate ${job.candidate}, task ${job.task}\n$ ${shown(config.command, values)}\n`);
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
  const outcome = readMetrics(found.document, { task: job.task, metric: job.metric, lmTask: config.lm_task, where });
  const { gradient } = outcome;
  if (gradient !== undefined && gradient.length !== job.coefficients.length) {
    const expected = `${job.coefficients.length}, one for each coefficient`;
    fail(job, 'gradient has the wrong number of entries', { expected, got: `${gradient.length}` });
  }
  return outcome;
}

function placeholderValues(job: EvaluationJob, scratch: string): PlaceholderValues {
  return new Map([
    ['model', job.folder],
    ['task', job.task],
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
