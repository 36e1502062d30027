/** What `push --compress` says about what it saved and what it cost. */
import type { Compression } from '../push/compression.js';
import { formatBytes } from './units.js';

const percent = (share: number): string => `${Number((100 * share).toPrecision(2))} %`;

export function ratioOf({ newBytes, fullBytes }: Compression): number {
  return newBytes === 0 ? 1 : fullBytes / newBytes;
}

/** Lines below the verdict. */
export function compressionText(compression: Compression): string {
  const { eta, matrices, factors, rank, error, worst, rounding, newBytes, fullBytes } = compression;
  const all = Object.values(matrices).reduce((sum, count) => sum + count, 0);
  const how = Object.entries(factors).map(([dtype, count]) => `${count} as ${dtype} factors`);
  if (matrices.rounded > 0) how.push(`${matrices.rounded} truncated and whole`);
  if (matrices.whole > 0) how.push(`${matrices.whole} as they are`);
  if (matrices.unchanged > 0) how.push(`${matrices.unchanged} unchanged`);
  const ranks = rank === null ? '' : rank.least === rank.most ? `, rank ${rank.least}` : `, ranks ${rank.least} to ${rank.most}`;
  const lines = [
    `compressed  star:${eta}: ${formatBytes(newBytes)} instead of ${formatBytes(fullBytes)} (${ratioOf(compression).toFixed(1)} times smaller)`,
  ];
  if (all > 0) lines.push(`  matrices  ${all}: ${how.join(', ')}${ranks}`);
  if (worst !== null)
    lines.push(
      `  error     ${percent(error)} away from the task vectors (most: ${percent(worst.error)} in ${worst.tensor}), rounding ${percent(rounding)}`,
    );
  return lines.join('\n');
}
