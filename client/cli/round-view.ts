/** Rounds and contributions as tables and as JSON. The JSON field names are a promise. */
import type { ErrorInfo } from '../../shared/generated/tributary/v1/common.js';
import { type Model, ModelOrigin } from '../../shared/generated/tributary/v1/models.js';
import { type Contribution, ContributionStatus, type Round, RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import { fromArtifactKind } from '../../shared/transfer/artifact-kind.js';
import { studyText, studyView } from '../pareto/study-view.js';
import type { Io } from './io.js';
import { table } from './table.js';
import { formatBytes } from './units.js';

const STATE_NAMES: Readonly<Record<RoundState, string>> = {
  [RoundState.UNSPECIFIED]: 'unknown',
  [RoundState.UNRECOGNIZED]: 'unknown',
  [RoundState.OPEN]: 'open',
  [RoundState.MERGING]: 'merging',
  [RoundState.PUBLISHED]: 'published',
  [RoundState.FAILED]: 'failed',
  [RoundState.CANCELLED]: 'cancelled',
};

const STATUS_NAMES: Readonly<Record<ContributionStatus, string>> = {
  [ContributionStatus.UNSPECIFIED]: 'unknown',
  [ContributionStatus.UNRECOGNIZED]: 'unknown',
  [ContributionStatus.UPLOADING]: 'uploading',
  [ContributionStatus.ACCEPTED]: 'accepted',
  [ContributionStatus.QUARANTINED]: 'quarantined',
  [ContributionStatus.WITHDRAWN]: 'withdrawn',
  [ContributionStatus.SUPERSEDED]: 'superseded',
};

export function stateOf(round: Round): string {
  return STATE_NAMES[round.state];
}

function errorView(error: ErrorInfo | undefined): object | null {
  if (error === undefined) return null;
  return Object.fromEntries(Object.entries(error).filter(([, value]) => value !== ''));
}

export function contributionView(contribution: Contribution): object {
  return {
    contributor: contribution.contributor,
    status: STATUS_NAMES[contribution.status],
    kind: fromArtifactKind(contribution.kind) ?? 'unknown',
    reason: errorView(contribution.reason),
    samples: contribution.samples ?? null,
    steps: contribution.steps ?? null,
    taskVectorNorm: contribution.taskVectorNorm,
    totalBytes: contribution.totalBytes,
    sentBytes: contribution.sentBytes,
    savedBytes: contribution.savedBytes,
    weightsDigest: contribution.weightsDigest,
    updatedAt: contribution.updatedAt?.toISOString() ?? null,
  };
}

export function roundView(round: Round): object {
  return {
    name: round.name,
    state: stateOf(round),
    base: { name: round.baseName, weightsDigest: round.baseDigest, totalBytes: round.baseBytes },
    recipe: round.recipe,
    quorum: round.quorum,
    minContributions: round.minContributions,
    deadline: round.deadline?.toISOString() ?? null,
    createdAt: round.createdAt?.toISOString() ?? null,
    updatedAt: round.updatedAt?.toISOString() ?? null,
    model: round.model === '' ? null : round.model,
    error: errorView(round.error),
    contributions: round.contributions.map(contributionView),
    study: round.study === undefined ? null : studyView(round.study),
  };
}

/** The page `round show` prints. */
export function roundText(round: Round, io: Io): string {
  const accepted = round.contributions.filter((row) => row.status === ContributionStatus.ACCEPTED).length;
  const closes = [
    round.quorum > 0 ? `at ${round.quorum} accepted` : '',
    round.deadline === undefined ? '' : `by ${round.deadline.toISOString()}`,
  ].filter((text) => text !== '');
  const least = round.minContributions > 1 && round.minContributions !== round.quorum ? `, with ${round.minContributions} or more` : '';
  const lines = [
    `round    ${io.colors.bold(round.name)}  ${stateText(round, io)}`,
    `base     ${round.baseName} (${round.baseDigest.slice(0, 16)})`,
    `closes   ${closes.length > 0 ? closes.join(', ') : 'by hand'}${least}`,
  ];
  if (round.model !== '') lines.push(`model    ${round.model} (tributary pull ${round.model} --out DIR)`);
  if (round.error !== undefined) lines.push(`error    ${round.error.what} [${round.error.code}]`);
  lines.push('', `${accepted} of ${round.contributions.length} contributors accepted`);
  if (round.contributions.length > 0) lines.push('', contributionTable(round.contributions));
  lines.push(...factorLines(round));
  if (round.study !== undefined) lines.push('', studyText(round.study, Date.now()));
  for (const { contributor, reason } of round.contributions) {
    if (reason === undefined) continue;
    const parts = [reason.what, reason.expected && `expected ${reason.expected}`, reason.got && `got ${reason.got}`].filter(
      (part) => part !== '',
    );
    lines.push('', `${contributor} is in quarantine: ${parts.join('; ')} [${reason.code}]`);
  }
  return lines.join('\n');
}

export function stateText(round: Round, io: Io): string {
  const name = stateOf(round);
  if (round.state === RoundState.PUBLISHED) return io.colors.green(name);
  if (round.state === RoundState.FAILED) return io.colors.red(name);
  return io.colors.cyan(name);
}

/** What contributions of factors hold beside what whole weights would have. */
function factorLines({ contributions, baseBytes }: Round): string[] {
  const ofFactors = contributions.filter(({ kind }) => ['lora', 'low_rank'].includes(fromArtifactKind(kind) ?? ''));
  const held = ofFactors.reduce((sum, { totalBytes }) => sum + totalBytes, 0n);
  const whole = baseBytes * BigInt(ofFactors.length);
  if (held === 0n || held >= whole) return [];
  const names = ofFactors.map(({ contributor }) => contributor).join(', ');
  const times = (Number(whole) / Number(held)).toFixed(1);
  return ['', `as factors: ${names}, ${formatBytes(held)} where whole weights are ${formatBytes(whole)} (${times} times smaller)`];
}

function contributionTable(contributions: readonly Contribution[]): string {
  const number = (value: bigint | undefined): string => (value === undefined ? '-' : `${value}`);
  return table(
    ['contributor', 'status', 'kind', 'samples', 'steps', 'norm', 'sent', 'saved'],
    contributions.map((row) => [
      row.contributor,
      STATUS_NAMES[row.status],
      fromArtifactKind(row.kind) ?? 'unknown',
      number(row.samples),
      number(row.steps),
      row.taskVectorNorm > 0 ? row.taskVectorNorm.toPrecision(5) : '-',
      formatBytes(row.sentBytes),
      formatBytes(row.savedBytes),
    ]),
    [3, 4, 5, 6, 7],
  );
}

export function roundsTable(rounds: readonly Round[], io: Io): string {
  if (rounds.length === 0) return 'no rounds yet: tributary round create --base NAME --recipe FILE';
  return table(
    ['round', 'state', 'base', 'quorum', 'created', 'model'],
    rounds.map((round) => [
      round.name,
      stateText(round, io),
      round.baseName,
      round.quorum > 0 ? `${round.quorum}` : '-',
      round.createdAt?.toISOString().slice(0, 19) ?? '',
      round.model === '' ? '-' : round.model,
    ]),
  );
}

export function modelView(model: Model): object {
  return {
    name: model.name,
    origin: model.origin === ModelOrigin.BASE ? 'base' : 'round',
    version: model.version,
    weightsDigest: model.weightsDigest,
    manifestDigest: model.manifestDigest,
    tensors: model.tensors,
    parameters: model.parameters,
    totalBytes: model.totalBytes,
    createdAt: model.createdAt?.toISOString() ?? null,
  };
}

export function modelsTable(models: readonly Model[]): string {
  if (models.length === 0) return 'no bases yet: tributary base push DIR --name NAME';
  return table(
    ['model', 'origin', 'version', 'parameters', 'size', 'digest', 'created'],
    models.map((model) => [
      model.name,
      model.origin === ModelOrigin.BASE ? 'base' : 'round',
      `${model.version}`,
      `${model.parameters}`,
      formatBytes(model.totalBytes),
      model.weightsDigest.slice(0, 16),
      model.createdAt?.toISOString().slice(0, 19) ?? '',
    ]),
    [2, 3, 4],
  );
}
