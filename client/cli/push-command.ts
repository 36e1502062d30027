/** `tributary push` and `tributary base push`. */
import { existsSync } from 'node:fs';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Contribution, ContributionStatus } from '../../shared/generated/tributary/v1/rounds.js';
import { fromErrorInfo } from '../../shared/grpc/error-trailer.js';
import type { ContributionKind } from '../../shared/merge/types.js';
import { readOrigin } from '../origin.js';
import type { Compression } from '../push/compression.js';
import { type DescribedArtifact, describeFolder } from '../push/describe.js';
import { DigestCache } from '../push/digest-cache.js';
import { type PushOptions, type PushReport, push } from '../push/push.js';
import { cacheDir } from '../settings.js';
import { compressionText, ratioOf } from './compression-text.js';
import { type CommandContext, withConnection } from './context.js';
import { defaultContributor } from './contributor.js';
import { byteProgress } from './progress.js';
import { contributionView } from './round-view.js';
import { formatBytes, formatSeconds } from './units.js';

export interface PushFlags {
  readonly round: string;
  readonly as?: string;
  readonly samples?: number;
  readonly steps?: number;
  readonly kind: ContributionKind;
  readonly base?: string;
  /** star:ETA */
  readonly compress?: string;
}

export async function runPush(context: CommandContext, folder: string, flags: PushFlags): Promise<void> {
  const { base, compress } = flags;
  if (compress !== undefined) {
    const { withCompressed } = await import('./push-compressed.js');
    await withCompressed(context, folder, { ...flags, compress }, ({ described, baseDigest, compression }) =>
      contribute(context, described, baseDigest, flags, compression),
    );
    return;
  }
  const described = await describe(context, folder, flags.kind);
  const baseDigest = base === undefined ? '' : await withConnection(context, (connection) => resolveBase(context, connection, base));
  await contribute(context, described, baseDigest, flags);
}

async function contribute(
  context: CommandContext,
  described: DescribedArtifact,
  baseDigest: string,
  flags: PushFlags,
  compression?: Compression,
): Promise<void> {
  // A token says who it belongs to.
  const contributor = context.settings.contributor ?? (context.settings.token === undefined ? defaultContributor() : '');
  const { report, seconds } = await send(context, described, {
    $case: 'contribution',
    value: {
      round: flags.round,
      contributor,
      baseDigest,
      samples: flags.samples === undefined ? undefined : BigInt(flags.samples),
      steps: flags.steps === undefined ? undefined : BigInt(flags.steps),
    },
  });
  if (!('contribution' in report.result)) throw new TributaryError('INTERNAL', { what: 'The coordinator answered a push with a base' });
  const { contribution } = report.result;
  const document = {
    contribution: contributionView(contribution),
    ...summary(report, seconds),
    ...(compression === undefined ? {} : { compression: { ...compression, ratio: ratioOf(compression) } }),
  };
  if (contribution.status === ContributionStatus.ACCEPTED) {
    const text = `accepted  ${contribution.contributor} in round ${flags.round}: ${sentText(report, seconds)}; task-vector norm ${contribution.taskVectorNorm.toPrecision(6)}`;
    context.io.result(document, compression === undefined ? text : `${text}\n${compressionText(compression)}`);
    return;
  }
  throw refusal(contribution);
}

/** A contribution that did not pass admission: the reason, under its own code. */
function refusal(contribution: Contribution): TributaryError {
  if (contribution.reason !== undefined) return fromErrorInfo(contribution.reason);
  return new TributaryError('QUARANTINED', { what: `The contribution of ${contribution.contributor} takes no part in the round` });
}

export async function runBasePush(context: CommandContext, folder: string, name: string): Promise<void> {
  const described = await describe(context, folder, 'full');
  const { report, seconds } = await send(context, described, { $case: 'base', value: { name } });
  if (!('model' in report.result))
    throw new TributaryError('INTERNAL', { what: 'The coordinator answered a base push with a contribution' });
  const { model } = report.result;
  context.io.result(
    {
      model: { name: model.name, weightsDigest: model.weightsDigest, tensors: model.tensors, parameters: model.parameters },
      ...summary(report, seconds),
    },
    `registered  ${model.name} (${model.tensors} tensors, ${model.parameters} parameters): ${sentText(report, seconds)}; digest ${model.weightsDigest.slice(0, 16)}`,
  );
}

async function describe(context: CommandContext, folder: string, kind: ContributionKind): Promise<DescribedArtifact> {
  const progress = byteProgress(context.io, 'hashing');
  try {
    return await describeFolder(folder, {
      kind,
      threads: context.threads,
      cache: new DigestCache(cacheDir(process.env)),
      signal: context.signal,
      onProgress: (done, total) => progress.update(done, total),
    });
  } finally {
    progress.stop();
  }
}

async function send(
  context: CommandContext,
  described: DescribedArtifact,
  target: PushOptions['target'],
): Promise<{ report: PushReport; seconds: number }> {
  const progress = byteProgress(context.io, 'pushing');
  const startedMs = performance.now();
  try {
    const report = await withConnection(context, (connection) =>
      push(connection, described, {
        target,
        patience: context.patience,
        onProgress: ({ durableBytes, totalBytes, savedBytes }) => progress.update(durableBytes, totalBytes, savedBytes),
        onVerifying: () => {
          progress.stop();
          context.io.note('waiting for the admission verdict');
        },
      }),
    );
    return { report, seconds: (performance.now() - startedMs) / 1000 };
  } finally {
    progress.stop();
  }
}

/** A base given as a name, a digest, or a folder that was pulled. */
async function resolveBase(
  context: CommandContext,
  connection: Parameters<Parameters<typeof withConnection>[1]>[0],
  base: string,
): Promise<string> {
  if (existsSync(base)) {
    const origin = await readOrigin(base);
    if (origin !== undefined) return origin.weights_digest;
    return (await describe(context, base, 'full')).artifact.weightsDigest;
  }
  return (await connection.models.getModel({ name: base }, { signal: context.signal })).weightsDigest;
}

function summary(report: PushReport, seconds: number): object {
  return { totalBytes: report.totalBytes, sentBytes: report.sentBytes, savedBytes: report.savedBytes, seconds: Number(seconds.toFixed(3)) };
}

function sentText(report: PushReport, seconds: number): string {
  if (report.sentBytes === 0) return `nothing to send, all ${formatBytes(report.totalBytes)} were already there`;
  const rate = seconds > 0 ? ` (${formatBytes(Math.round(report.sentBytes / seconds))}/s)` : '';
  const saved = report.savedBytes > 0 ? `, ${formatBytes(report.savedBytes)} saved` : '';
  return `${formatBytes(report.sentBytes)} sent in ${formatSeconds(seconds)}${rate}${saved}`;
}
