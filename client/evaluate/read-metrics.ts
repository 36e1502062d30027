/**
 * What a program's JSON says of the metric that was asked for. Three shapes are understood: plain keys (`{"accuracy": 0.9, "count": 100}`), keys under
 * `metrics`, and the results of EleutherAI's lm-evaluation-harness. Where two readings are possible none is taken.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { EvaluationOutcome } from './evaluator.js';
import type { ReportedObject, ReportedValue } from './find-json.js';

export interface MetricQuestion {
  readonly task: string;
  readonly metric: string;
  /** Task of lm-evaluation-harness. */
  readonly lmTask?: string | undefined;
  /** Where the document came from, for errors. */
  readonly where: string;
}

const COUNT_KEYS = ['count', 'n', 'samples', 'eval_samples'];
const ERROR_KEYS = ['standard_error', 'stderr'];
/** Of a row of lm-evaluation-harness: how many examples it was measured on. */
const ROW_COUNT_KEYS = ['samples', 'sample_len'];

/** @throws EVALUATION_FAILED when the metric is not there, not a finite number, or not the only one that could be meant */
export function readMetrics(document: ReportedObject, question: MetricQuestion): EvaluationOutcome {
  const results = document.get('results');
  return isObject(results) ? readHarness(document, results, question) : readPlain(document, question);
}

function readPlain(document: ReportedObject, question: MetricQuestion): EvaluationOutcome {
  const inner = document.get('metrics');
  const all = new Map<string, ReportedValue>([...document, ...(isObject(inner) ? inner : [])]);
  const { metric } = question;
  const key = [metric, 'value'].find((name) => all.has(name));
  if (key === undefined) refuse(question, `the metric ${metric} is not in what was reported`, `a key ${metric}`, keysOf(all));
  const names = (words: readonly string[], suffixes: readonly string[]): string[] => [
    ...suffixes.map((suffix) => `${metric}_${suffix}`),
    ...words,
  ];
  return {
    value: finite(all.get(key), question, key),
    count: countOf(all, names(COUNT_KEYS, ['count', 'n']), question),
    standardError: errorOf(all, names(ERROR_KEYS, ['stderr', 'standard_error']), question),
    metrics: finiteNumbers(all),
    gradient: gradientOf(document.get('gradient'), question),
  };
}

function readHarness(document: ReportedObject, results: ReportedObject, question: MetricQuestion): EvaluationOutcome {
  const name = harnessTask(document, results, question);
  const row = results.get(name);
  if (!isObject(row)) refuse(question, `results.${name} is no object`, 'its metrics', describe(row));
  const key = harnessMetric(row, name, question);
  const [metric, filter] = splitKey(key);
  const errorKey = filter === undefined ? `${metric}_stderr` : `${metric}_stderr,${filter}`;
  return {
    value: finite(row.get(key), question, `results.${name}.${key}`),
    count: effectiveSamples(document, name, new Set()) ?? countOf(row, ROW_COUNT_KEYS, question),
    standardError: errorOf(row, [errorKey], question),
    metrics: finiteNumbers(row),
    gradient: gradientOf(document.get('gradient'), question),
  };
}

/** Examples of a task, or of all tasks of a group together; undefined when one of them is not known. */
function effectiveSamples(document: ReportedObject, name: string, seen: Set<string>): number | undefined {
  seen.add(name);
  const samples = document.get('n-samples');
  const ofTask = isObject(samples) ? samples.get(name) : undefined;
  const effective = isObject(ofTask) ? ofTask.get('effective') : undefined;
  if (typeof effective === 'number') return effective;
  const groups = document.get('group_subtasks');
  const members = isObject(groups) ? groups.get(name) : undefined;
  if (!Array.isArray(members) || members.length === 0) return undefined;
  let sum = 0;
  for (const member of members as readonly ReportedValue[]) {
    const count = typeof member === 'string' && !seen.has(member) ? effectiveSamples(document, member, seen) : undefined;
    if (count === undefined) return undefined;
    sum += count;
  }
  return sum;
}

/** The task that was asked for; else the only one, not counting those that a group of the results sums up. */
function harnessTask(document: ReportedObject, results: ReportedObject, question: MetricQuestion): string {
  const { lmTask, task } = question;
  if (lmTask !== undefined) {
    if (results.has(lmTask)) return lmTask;
    refuse(question, `the results hold no task ${lmTask}`, lmTask, keysOf(results));
  }
  if (results.has(task)) return task;
  const groups = document.get('group_subtasks');
  const inGroups = new Set(isObject(groups) ? [...groups.values()].flatMap((names) => (Array.isArray(names) ? names : [])) : []);
  const [only, ...others] = [...results.keys()].filter((name) => !inGroups.has(name));
  if (only === undefined) refuse(question, 'the results hold no task', 'a task', keysOf(results));
  if (others.length === 0) return only;
  refuse(
    question,
    `several tasks in the results, and none is named ${task}`,
    `one, or lm_task`,
    keysOf(results),
    'Say which with `lm_task`.',
  );
}

function harnessMetric(row: ReportedObject, task: string, question: MetricQuestion): string {
  const { metric } = question;
  if (row.has(metric)) return metric;
  const [only, ...others] = [...row.keys()].filter((key) => splitKey(key)[0] === metric);
  if (only === undefined) refuse(question, `results.${task} has no metric ${metric}`, metric, keysOf(row));
  if (others.length === 0) return only;
  const fix = `Say which with \`metric: ${only}\`.`;
  refuse(question, `results.${task} has ${metric} after several filters`, 'one of them', [only, ...others].join(' and '), fix);
}

/** `acc,none` is the metric `acc` after the filter `none`. */
function splitKey(key: string): [metric: string, filter: string | undefined] {
  const comma = key.indexOf(',');
  return comma < 0 ? [key, undefined] : [key.slice(0, comma), key.slice(comma + 1)];
}

function finite(value: ReportedValue | undefined, question: MetricQuestion, key: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  refuse(question, `${key} is not a finite number`, 'a finite number', describe(value));
}

function countOf(from: ReportedObject, keys: readonly string[], question: MetricQuestion): number | undefined {
  const key = keys.find((name) => typeof from.get(name) === 'number');
  if (key === undefined) return undefined;
  const value = from.get(key) as number;
  if (Number.isSafeInteger(value) && value >= 0) return value;
  refuse(question, `${key} is not a number of examples`, 'a whole number, 0 or more', describe(value));
}

/** NaN (the deviation of a single example) and words such as "N/A" mean that it is not known. */
function errorOf(from: ReportedObject, keys: readonly string[], question: MetricQuestion): number | undefined {
  const key = keys.find((name) => typeof from.get(name) === 'number');
  const value = key === undefined ? undefined : (from.get(key) as number);
  if (value === undefined || !Number.isFinite(value)) return undefined;
  if (value >= 0) return value;
  refuse(question, `${key} is no standard error`, '0 or more', describe(value));
}

function gradientOf(value: ReportedValue | undefined, question: MetricQuestion): number[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) {
    const numbers = value.filter((entry): entry is number => typeof entry === 'number' && Number.isFinite(entry));
    if (numbers.length === value.length) return numbers;
  }
  refuse(question, 'gradient is not a list of finite numbers', 'one for each coefficient', describe(value));
}

function finiteNumbers(from: ReportedObject): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const [key, value] of from) if (typeof value === 'number' && Number.isFinite(value)) numbers[key] = value;
  return numbers;
}

function isObject(value: ReportedValue | undefined): value is ReportedObject {
  return value instanceof Map;
}

const MOST_KEYS = 20;

function keysOf(from: ReportedObject): string {
  const keys = [...from.keys()];
  const shown = keys.slice(0, MOST_KEYS).join(', ');
  return keys.length > MOST_KEYS ? `${shown} and ${keys.length - MOST_KEYS} more` : shown;
}

function describe(value: ReportedValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80));
  if (typeof value === 'object' && value !== null) return isObject(value) ? 'an object' : `a list of ${value.length}`;
  return `${value}`;
}

function refuse(question: MetricQuestion, what: string, expected: string, got: string, fix?: string): never {
  throw new TributaryError('EVALUATION_FAILED', { what, where: question.where, expected, got, fix });
}
