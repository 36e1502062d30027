/** `tributary agent`. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Study, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { type AgentConfig, loadAgentConfig } from '../agent/agent-config.js';
import type { AgentEvents, AgentReport } from '../agent/agent-report.js';
import { runAgent } from '../agent/run-agent.js';
import { openWorkFolder } from '../agent/work-folder.js';
import type { Evaluator } from '../evaluate/evaluator.js';
import { openEvaluator } from '../evaluate/open-evaluator.js';
import { cacheDir } from '../settings.js';
import { type CommandContext, contextOf, withConnection } from './context.js';
import { defaultContributor } from './contributor.js';
import type { Io } from './io.js';
import { byteProgress } from './progress.js';
import { formatBytes, formatSeconds } from './units.js';

export interface AgentFlags {
  readonly once: boolean;
}

/** An outage is noted when it begins, and again after so long. */
const REMIND_MS = 30_000;

function studyText({ round, state, tasks, method, candidates, plannedCandidates }: Study): string {
  const planned = plannedCandidates === 0 ? `${candidates} candidates so far` : `${candidates} of ${plannedCandidates} candidates`;
  const how = state === StudyState.EVALUATING ? planned : state === StudyState.COMPLETE ? 'complete' : 'stopped';
  return `round ${round}: ${tasks.map(({ name }) => name).join(', ')} (${method}, ${how})`;
}

/** Of any size, short enough for a line. */
const numberText = (value: number): string => String(Number(value.toPrecision(6)));

function eventsFor(io: Io): AgentEvents {
  const progress = byteProgress(io, 'fetching');
  return {
    onStudies(studies) {
      if (studies.length === 0) io.note('no round wants anything measured yet');
      for (const study of studies) io.note(studyText(study));
    },
    onFetch(name, totalBytes) {
      progress.stop();
      io.note(`fetching ${name}, ${formatBytes(totalBytes)}`);
    },
    onFetchProgress(doneBytes, totalBytes) {
      progress.update(doneBytes, totalBytes);
      if (doneBytes >= totalBytes) progress.stop();
    },
    onResult({ round, candidate, task, metric }, result) {
      progress.stop();
      const pair = `${round}  candidate ${candidate}  ${task}`;
      if (result.kind === 'failed') {
        const { code, details } = result.error;
        const where = details.where === undefined ? '' : `  ${details.where}`;
        return io.note(`${pair}  ${io.colors.red('failed')}  ${details.what} [${code}]${where}`);
      }
      const { outcome, reported, seconds } = result;
      const refused = reported.kind === 'refused' ? `  ${io.colors.red('refused')}  ${reported.error.message}` : '';
      const known = reported.kind === 'known' ? '  (known already)' : '';
      io.note(`${pair}  ${metric} ${numberText(outcome.value)}  ${formatSeconds(seconds)}${known}${refused}`);
    },
    onLost: () => io.note('a lease expired before its work was done; it is dropped'),
  };
}

async function openEvaluators({ tasks, folder }: AgentConfig): Promise<Map<string, Evaluator>> {
  const evaluators = new Map<string, Evaluator>();
  try {
    for (const [task, config] of tasks) evaluators.set(task, await openEvaluator(task, config, { folder, environment: process.env }));
  } catch (error) {
    await closeAll(evaluators);
    throw error;
  }
  return evaluators;
}

async function closeAll(evaluators: ReadonlyMap<string, Evaluator>): Promise<void> {
  for (const evaluator of evaluators.values()) await evaluator.close();
}

/** Says that the coordinator is away once, not at every try. */
function rarely(context: CommandContext): CommandContext['patience']['onRetry'] {
  let saidMs = -Infinity;
  return (error) => {
    if (performance.now() - saidMs < REMIND_MS) return;
    saidMs = performance.now();
    context.io.note(`${error.details.what}; trying again`);
  };
}

function reportText({ agent, rounds }: AgentReport): string {
  if (rounds.length === 0) return `agent ${agent}: nothing was measured`;
  const lines = rounds.map(({ round, measured, failed }) => `${round}: ${measured} measured${failed === 0 ? '' : `, ${failed} failed`}`);
  return `agent ${agent}\n  ${lines.join('\n  ')}`;
}

/** Runs until Ctrl-C or SIGTERM, which is how it is meant to end; with --once until nothing is left to measure. */
export async function runAgentCommand(command: Command, signal: AbortSignal, flags: AgentFlags): Promise<void> {
  const { config: path } = command.optsWithGlobals<{ config?: string }>();
  if (path === undefined)
    throw new TributaryError('USAGE', { what: 'An agent needs to know what it can measure', expected: '--config agent.yaml' });
  const config = loadAgentConfig(path);
  const context = contextOf(command, signal, config.agent, config.connection);
  const { io, settings, patience, threads } = context;
  const agent = settings.contributor ?? defaultContributor();
  const work = await openWorkFolder(config.work ?? join(cacheDir(process.env), 'agents', agent), config.keepLogs);
  try {
    const evaluators = await openEvaluators(config);
    try {
      io.note(`agent ${agent}: measures ${[...evaluators.keys()].join(', ')}; works in ${work.path}`);
      const report = await withConnection(context, (connection) =>
        runAgent({
          connection,
          agent,
          rounds: config.rounds,
          evaluators,
          work,
          parallel: config.parallel,
          once: flags.once || config.once,
          threads,
          findEngine: context.findEngine,
          patience: { withoutProgressMs: patience.withoutProgressMs, onRetry: rarely(context) },
          stop: signal,
          events: eventsFor(io),
        }),
      );
      const sum = (of: 'measured' | 'failed'): number => report.rounds.reduce((total, round) => total + round[of], 0);
      io.result({ agent, measured: sum('measured'), failed: sum('failed'), rounds: report.rounds }, reportText(report));
    } finally {
      await closeAll(evaluators);
    }
  } finally {
    await work.close();
  }
}
