/** The tables the demo ends with, and what there is to see in them. Pure: numbers in, lines out. */
import { table } from '../cli/table.js';
import { DEMO_PLAN } from '../train/demo-plan.js';
import { formatScoreTable, type ScoreRole, type ScoreRow, type ScoreTable } from '../train/score-table.js';
import type { ParetoReport } from './pareto.js';
import type { PoisonReport } from './poison.js';

const percent = (share: number): string => (100 * share).toFixed(1);

const ROLES: readonly ScoreRole[] = ['base', 'contribution', 'merged'];

/** Base, teams, merges; each group by its average, the best first. */
export function sortRows(rows: readonly ScoreRow[]): ScoreRow[] {
  return [...rows].sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role) || b.average - a.average);
}

/** With an empty line between the groups. */
export function scoreLines(table: ScoreTable): string {
  const [header = '', ...lines] = formatScoreTable(table).split('\n');
  const grouped = lines.map((line, index) => (table.rows[index]?.role === table.rows[index - 1]?.role || index === 0 ? line : `\n${line}`));
  return [header, ...grouped].join('\n');
}

/** Computed, so that it says what happened, whatever the table shows. */
export function verdict({ rows }: ScoreTable): string {
  const of = (role: ScoreRole): ScoreRow[] => rows.filter((row) => row.role === role);
  const best = (role: ScoreRole, by: 'average' | 'worst'): ScoreRow => of(role).reduce((a, b) => (b[by] > a[by] ? b : a));
  const line = (by: 'average' | 'worst', words: string): string => {
    const [merged, single] = [best('merged', by), best('contribution', by)];
    const compared = merged[by] > single[by] ? 'better' : 'NOT better';
    return `${words} the best merge (${merged.name}, ${percent(merged[by])} %) is ${compared} than the best single contribution (${single.name}, ${percent(single[by])} %).`;
  };
  const better = of('merged').filter((row) => row.average > best('contribution', 'average').average).length;
  return [
    `What to see: each team is good at its own kind of digits and lost on the others'; of ${of('merged').length} merges ${better} are better on average than any team.`,
    line('average', "On average over everyone's digits"),
    line('worst', "On everyone's worst case"),
  ].join('\n');
}

/** Rows by their average under the worst of the attacks, the best first. */
export function poisonLines({ rows }: PoisonReport): string {
  const { factors } = DEMO_PLAN.poison;
  const attacked = (row: PoisonReport['rows'][number]): number => Math.min(...row.evaluations.slice(1).map(({ average }) => average));
  const header = ['rule', ...factors.flatMap((factor) => [factor === 1 ? 'honest' : `x ${factor}`, 'worst'])];
  const lines = [...rows]
    .sort((a, b) => attacked(b) - attacked(a))
    .map(({ rule, evaluations }) => [rule, ...evaluations.flatMap(({ average, worst }) => [percent(average), percent(worst)])]);
  const widths = header.map((title, column) => Math.max(title.length, ...lines.map((line) => (line[column] ?? '').length)));
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart((widths[column] ?? 0) + (column % 2 === 1 ? 2 : 0));
  return [header, ...lines].map((line) => line.map(pad).join('  ')).join('\n');
}

export function poisonVerdict({ rows, nan, norms }: PoisonReport): string {
  const { contributor, copies, factors } = DEMO_PLAN.poison;
  const drop = (row: PoisonReport['rows'][number]): number => {
    const [honest, ...attacks] = row.evaluations.map(({ average }) => average);
    return (honest ?? 0) - Math.min(...attacks);
  };
  const standing = rows.filter((row) => drop(row) < 0.05).map(({ rule }) => rule);
  const falling = rows.filter((row) => drop(row) >= 0.05).map(({ rule }) => rule);
  const honest = (row: PoisonReport['rows'][number]): number => row.evaluations[0]?.average ?? 0;
  const others = rows.filter(({ rule }) => rule !== 'fedavg').map(honest);
  const plain = rows.find(({ rule }) => rule === 'fedavg');
  const list = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(', '));
  return [
    `What to see: one bad push of five costs less than 5 points under ${list(standing)}; more under ${list(falling)}.`,
    `When everyone is honest fedavg has ${percent(plain === undefined ? 0 : honest(plain))} %, the others ${percent(Math.min(...others))} to ${percent(Math.max(...others))} %.`,
    `A NaN never gets so far: admission quarantined that push ("${nan.what}" [${nan.code}]).`,
    `Admission measures norms (${norms.map(({ factor, norm }) => `x ${factor}: ${norm.toFixed(1)}`).join(', ')}) and shows them, but judges none: the pushes of x ${factors.slice(1).join(' and x ')} were accepted.`,
    `Of ${contributor} honest means ${copies}'s own push once more. Made by offline merges of the same checkpoints; a round gives the same bytes.`,
  ].join('\n');
}

export function paretoLines({ front, chosen, files }: ParetoReport): string {
  const coefficients = Object.entries(chosen.coefficients).map(([name, value]) => `${name} ${value.toFixed(2)}`);
  const tasks = Object.keys(chosen.predicted);
  const header = ['task', 'R2', 'held-out R2', 'predicted', 'measured'];
  const lines = tasks.map((task) => {
    const quality = front.surrogates.find((one) => one.task === task);
    const measured = chosen.measured[task]?.value;
    return [
      task,
      quality?.r2.toFixed(2) ?? '-',
      quality?.heldOutR2.toFixed(2) ?? '-',
      percent(chosen.predicted[task] ?? Number.NaN),
      measured === undefined ? '-' : percent(measured),
    ];
  });
  return [
    `the trade-offs of the same four contributions, from ${front.evaluations} evaluations by the teams' agents on their own validation digits`,
    '',
    'tributary pareto query map --prefer ' + tasks.map((task) => `${task}=1`).join(','),
    `  ${coefficients.join(', ')}`,
    '',
    table(header, lines, [1, 2, 3, 4]).replace(/^/gm, '  '),
    '',
    ...files.map((file) => `plot     ${file}`),
  ].join('\n');
}
