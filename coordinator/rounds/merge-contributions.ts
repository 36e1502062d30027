/** Opens the base and the accepted contributions of a round and merges them: into the round's model, or one of its candidates. */
import { mkdir } from 'node:fs/promises';
import type { Services } from '../services.js';
import { openArtifact } from '../store/artifact-source.js';
import { mergeRound, type RoundMerge } from './merge-round.js';

export type ContributionsMerge = Pick<RoundMerge, 'round' | 'variant' | 'folder' | 'workDir' | 'signal' | 'onProgress'>;

export async function mergeContributions(services: Services, merge: ContributionsMerge): Promise<void> {
  const { models, rounds, chunks, metrics } = services;
  const { round, workDir } = merge;
  const baseModel = models.resolve(round.base_name);
  await mkdir(workDir, { recursive: true });
  const base = await openArtifact(chunks, models.artifact(baseModel.manifest_digest), workDir, 'base');
  const inputs = [];
  for (const row of rounds.accepted(round.name)) {
    const { tensors } = await openArtifact(chunks, models.artifact(row.manifest_digest), workDir, `input-${row.contributor}`);
    inputs.push({ row, tensors });
  }
  const report = await mergeRound({ ...merge, services, baseModel, base: base.tensors, inputs });
  metrics.mergeReadBytes.inc(report.readBytes);
  metrics.mergeWrittenBytes.inc(report.writtenBytes);
}
