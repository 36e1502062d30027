/** The demo's table: how good the base, every contribution and every merged model is in every domain. */
import type { HeldOutSplit } from './digits.js';
import { DOMAINS, type Domain } from './domains.js';
import { readModel } from './model-folder.js';
import { type Evaluation, evaluate, type TrainContext } from './tasks.js';

export type ScoreRole = 'base' | 'contribution' | 'merged';

export interface ScoreRow extends Evaluation {
  readonly name: string;
  readonly role: ScoreRole;
}

export interface ScoreTable {
  readonly domains: readonly Domain[];
  readonly split: HeldOutSplit;
  readonly rows: readonly ScoreRow[];
}

export interface ScoredFolder {
  readonly name: string;
  readonly role: ScoreRole;
  readonly folder: string;
}

/** Evaluates model folders one after the other, in the given order. @throws what readModel throws, INTERRUPTED */
export async function scoreFolders(
  context: TrainContext,
  folders: readonly ScoredFolder[],
  split: HeldOutSplit = 'test',
): Promise<ScoreTable> {
  const rows: ScoreRow[] = [];
  for (const { name, role, folder } of folders) {
    rows.push({ name, role, ...(await evaluate(context, await readModel(folder), DOMAINS, split)) });
  }
  return { domains: DOMAINS, split, rows };
}

const percent = (share: number): string => (100 * share).toFixed(1);

/** Plain lines with aligned columns, in percent. */
export function formatScoreTable(table: { readonly domains: readonly Domain[]; readonly rows: readonly Omit<ScoreRow, 'role'>[] }): string {
  const header = ['model', ...table.domains, 'average', 'worst'];
  const lines = table.rows.map((row) => [
    row.name,
    ...row.scores.map((score) => percent(score.accuracy)),
    percent(row.average),
    percent(row.worst),
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...lines.map((line) => (line[column] as string).length)));
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number);
  return [header, ...lines].map((line) => line.map(pad).join('  ')).join('\n');
}
