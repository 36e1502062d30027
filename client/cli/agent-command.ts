/** `tributary agent`. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type AgentConfig, loadAgentConfig } from '../agent/agent-config.js';
import type { AgentReport } from '../agent/agent-report.js';
import { runAgent } from '../agent/run-agent.js';
import { openWorkFolder } from '../agent/work-folder.js';
import type { Evaluator } from '../evaluate/evaluator.js';
import { openEvaluator } from '../evaluate/open-evaluator.js';
import { findSharing, type Sharing } from '../evaluate/sharing.js';
import { cacheDir } from '../settings.js';
import { agentEvents } from './agent-events.js';
import { type CommandContext, contextOf, withConnection } from './context.js';
import { defaultContributor } from './contributor.js';

export interface AgentFlags {
  readonly once: boolean;
  /** In seconds. */
  readonly giveUpAfter?: number;
}

/** An outage is noted when it begins, and again after so long. */
const REMIND_MS = 30_000;

async function openEvaluators({ tasks, folder }: AgentConfig, sharing: ReadonlyMap<string, Sharing>): Promise<Map<string, Evaluator>> {
  const evaluators = new Map<string, Evaluator>();
  try {
    for (const [task, config] of tasks)
      evaluators.set(task, await openEvaluator(task, config, { folder, environment: process.env, sharing: sharing.get(task) }));
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

/** Runs until Ctrl-C or SIGTERM, which is how it is meant to end; with --once until nothing is left to measure, or the coordinator is gone. */
export async function runAgentCommand(command: Command, signal: AbortSignal, flags: AgentFlags): Promise<void> {
  const { config: path } = command.optsWithGlobals<{ config?: string }>();
  if (path === undefined)
    throw new TributaryError('USAGE', { what: 'An agent needs to know what it can measure', expected: '--config agent.yaml' });
  const config = loadAgentConfig(path);
  const once = flags.once || config.once;
  if (flags.giveUpAfter !== undefined && !once)
    throw new TributaryError('USAGE', {
      what: 'An agent that runs until it is stopped never gives up',
      where: '--give-up-after',
      expected: '--once beside it',
    });
  const context = contextOf(command, signal, config.agent, config.connection);
  const { io, settings, patience, threads } = context;
  const agent = settings.contributor ?? defaultContributor();
  const work = await openWorkFolder(config.work ?? join(cacheDir(process.env), 'agents', agent), config.keepLogs);
  try {
    const sharing = findSharing(config.tasks);
    const evaluators = await openEvaluators(config, sharing);
    try {
      io.note(`agent ${agent}: measures ${[...evaluators.keys()].join(', ')}; works in ${work.path}`);
      for (const { tasks } of new Set(sharing.values()))
        io.note(`${tasks.join(', ')}: one command; what a run for one says of the others is taken, and it is not run for them`);
      const report = await withConnection(context, (connection) =>
        runAgent({
          connection,
          agent,
          rounds: config.rounds,
          evaluators,
          work,
          parallel: config.parallel,
          cacheLimits: config.cacheLimits,
          once,
          giveUpAfterMs: flags.giveUpAfter === undefined ? config.giveUpAfterMs : flags.giveUpAfter * 1000,
          threads,
          findEngine: context.findEngine,
          patience: { withoutProgressMs: patience.withoutProgressMs, onRetry: rarely(context) },
          stop: signal,
          events: agentEvents(io, { agent, tasks: [...evaluators.keys()], limits: config.cacheLimits }),
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
