/** Which tasks of agent.yaml take their metrics from one and the same run of a program. */
import type { CommandConfig } from './command-config.js';
import type { EvaluationJob } from './evaluator.js';
import type { EvaluatorConfig } from './evaluator-config.js';
import type { ReportedObject } from './find-json.js';
import { type Shared, SharedRuns } from './shared-runs.js';

export interface CommandOutput {
  readonly document: ReportedObject;
  /** Where it was read. */
  readonly where: string;
  /** What the program printed, if anything failed later. */
  readonly logFile: string;
}

export interface Sharing {
  /** That run the same program, in the order of agent.yaml; two or more. */
  readonly tasks: readonly string[];
  /** Those of them whose `metric` of agent.yaml is their own alone: keys of one output can tell them apart. */
  readonly byMetric: readonly string[];
  readonly runs: SharedRuns<CommandOutput>;
}

/** A program that is told its task or metric is another program for each. */
const NAMES_TASK = /\{(?:task|metric)\}|TRIBUTARY_(?:TASK|METRIC)/;

/** Equal texts, equal runs; undefined: never shared. */
function programOf({ command, env = {}, cwd, output, timeout_seconds, retries }: EvaluatorConfig): string | undefined {
  if (command === undefined) return undefined;
  const sorted = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  const program = JSON.stringify([command, sorted, cwd, output, timeout_seconds, retries]);
  return NAMES_TASK.test(program) ? undefined : program;
}

/** By task; tasks that share with nobody are left out. */
export function findSharing(tasks: ReadonlyMap<string, EvaluatorConfig>): Map<string, Sharing> {
  const groups = new Map<string, string[]>();
  for (const [task, config] of tasks) {
    const program = programOf(config);
    if (program !== undefined) groups.set(program, [...(groups.get(program) ?? []), task]);
  }
  const sharing = new Map<string, Sharing>();
  for (const group of groups.values()) {
    if (group.length < 2) continue;
    const metricOf = (task: string): string | undefined => tasks.get(task)?.metric;
    const byMetric = group.filter(
      (task) => metricOf(task) !== undefined && group.every((other) => other === task || metricOf(other) !== metricOf(task)),
    );
    const one: Sharing = { tasks: group, byMetric, runs: new SharedRuns() };
    for (const task of group) sharing.set(task, one);
  }
  return sharing;
}

/**
 * Whether the output of another task's run says beyond doubt what this task asks for. Results of lm-evaluation-harness name their tasks; of other
 * outputs only agent.yaml can say it, by a metric for each. A gradient belongs to one metric only.
 */
export function answers(
  { output: { document }, ranFor }: Shared<CommandOutput>,
  { task, metric }: Pick<EvaluationJob, 'task' | 'metric'>,
  { lm_task }: CommandConfig,
  { byMetric }: Sharing,
): boolean {
  if ((document.get('gradient') ?? null) !== null) return false;
  const results = document.get('results');
  if (results instanceof Map) return results.has(lm_task ?? task);
  const inner = document.get('metrics');
  return [task, ranFor].every((one) => byMetric.includes(one)) && (document.has(metric) || (inner instanceof Map && inner.has(metric)));
}
