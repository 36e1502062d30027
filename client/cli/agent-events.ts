/** What an agent does, in lines for people. */
import { type Study, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { suggest } from '../../shared/util/suggest.js';
import type { AgentEvents } from '../agent/agent-report.js';
import type { CacheLimits, CacheState, RemovedModel } from '../agent/prune-cache.js';
import type { Io } from './io.js';
import { byteProgress } from './progress.js';
import { formatBytes, formatSeconds } from './units.js';

export interface Speaker {
  readonly agent: string;
  readonly tasks: readonly string[];
  readonly limits: CacheLimits;
}

const DAY_SECONDS = 24 * 3600;

function studyText({ round, state, tasks, method, candidates, plannedCandidates }: Study): string {
  const planned = plannedCandidates === 0 ? `${candidates} candidates so far` : `${candidates} of ${plannedCandidates} candidates`;
  const how = state === StudyState.EVALUATING ? planned : state === StudyState.COMPLETE ? 'complete' : 'stopped';
  return `round ${round}: ${tasks.map(({ name }) => name).join(', ')} (${method}, ${how})`;
}

/** Why a study goes on without this agent: the usual reason is a name that is not quite the same in agent.yaml and in the recipe. */
function foreignText({ round, tasks }: Study, { agent, tasks: offered }: Speaker): string {
  const reasons = tasks.map(({ name, owner }) => {
    if (offered.includes(name)) return `${name} is measured by ${owner} alone, and this agent is ${agent}`;
    const near = suggest(name, offered);
    return `${name} is not offered${near === undefined ? '' : ` (agent.yaml has ${near})`}`;
  });
  return `round ${round} has nothing for this agent: ${reasons.join('; ')}`;
}

/** Of any size, short enough for a line. */
const numberText = (value: number): string => String(Number(value.toPrecision(6)));

const modelsText = (models: number, sizeBytes: number): string => `${models} model${models === 1 ? '' : 's'}, ${formatBytes(sizeBytes)}`;

function removedText({ name, sizeBytes, why }: RemovedModel, { unusedMs, sizeBytes: limitBytes }: CacheLimits): string {
  const days = unusedMs / 1000 / DAY_SECONDS;
  const reasons: Record<RemovedModel['why'], string> = {
    unused: `not used for ${days} day${days === 1 ? '' : 's'}`,
    size: limitBytes === Infinity ? 'the disk is full' : `above the limit of ${formatBytes(limitBytes)}`,
    partial: 'a download that was broken off and is not wanted any more',
  };
  return `removed ${name}, ${formatBytes(sizeBytes)}: ${reasons[why]}`;
}

function cacheText({ models, sizeBytes, removed }: CacheState, limits: CacheLimits): string[] {
  const over = sizeBytes > limits.sizeBytes ? `, above the limit of ${formatBytes(limits.sizeBytes)}: open studies need them` : '';
  return [...removed.map((one) => removedText(one, limits)), `cache: ${modelsText(models, sizeBytes)}${over}`];
}

export function agentEvents(io: Io, speaker: Speaker): AgentEvents {
  const progress = byteProgress(io, 'fetching');
  return {
    onStudies(ours, others) {
      if (ours.length === 0) io.note('no round wants anything measured yet');
      for (const study of ours) io.note(studyText(study));
      for (const study of others) io.note(foreignText(study, speaker));
    },
    onLeft({ round, candidate, task, metric, outcome }, result) {
      const what = `${round}  candidate ${candidate}  ${task}  ${metric} ${numberText(outcome.value)}`;
      if (result.kind === 'counted') io.note(`${what}  (measured earlier, reported now)`);
      else io.note(`${what}  measured earlier, ${result.kind === 'dropped' ? 'dropped' : 'still not reported'}: ${result.why}`);
    },
    onCache(state) {
      progress.stop();
      for (const line of cacheText(state, speaker.limits)) io.note(line);
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
      const shared = outcome.ranFor === undefined ? '' : `  (from the run for ${outcome.ranFor})`;
      io.note(`${pair}  ${metric} ${numberText(outcome.value)}  ${formatSeconds(seconds)}${shared}${known}${refused}`);
    },
    onLost: ({ round, candidate, task }) =>
      io.note(`${round}  candidate ${candidate}  ${task}  dropped: its lease expired, another agent may have it`),
    onNotKept: (error) => io.note(`a measurement cannot be kept on disk until it is reported: ${error.message}`),
    onUnreported: (left, folder) =>
      io.note(
        `${left.length} measurement${left.length === 1 ? '' : 's'} not reported, kept in ${folder}: the next agent there reports them`,
      ),
  };
}
