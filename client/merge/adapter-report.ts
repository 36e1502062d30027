/** What an adapter that was made is like, for people and programs. Pure. */
import type { BuiltAdapter } from '../../shared/adapters/build-adapter.js';
import type { MergeDType } from '../../shared/formats/tensor.js';

export interface AdapterReport {
  readonly rank: { readonly least: number; readonly most: number };
  /** With factors. */
  readonly modules: number;
  /** Of the factors. */
  readonly dtype: MergeDType;
  /**
   * Distance of what the factors say, as they are stored, from the changes of their weights, relative to these (Frobenius, over all weights that
   * change and are not kept whole; what is left out counts).
   */
  readonly error: number;
  readonly worst: { readonly tensor: string; readonly error: number } | null;
  /** Kept whole. */
  readonly modulesToSave: readonly string[];
  readonly biases: readonly string[];
  /** Changes that the adapter does not have, with their share of the norm of all changes. */
  readonly left: readonly { readonly tensor: string; readonly share: number }[];
  readonly tensors: readonly { readonly tensor: string; readonly rank: number; readonly error: number }[];
}

const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/** Square root of the sum of squares. */
const together = (values: readonly number[]): number => Math.hypot(...values);

export function reportAdapter({ weights, modulesToSave, biases, left }: BuiltAdapter, dtype: MergeDType): AdapterReport {
  const kept = weights.filter(({ rank }) => rank > 0);
  const ranks = kept.map(({ rank }) => rank);
  const lost = left.map(({ norm }) => norm);
  const all = together([...weights.map(({ norm }) => norm), ...lost]);
  const tensors = kept.map(({ tensor, rank, norm, residualNorm }) => ({ tensor, rank, error: share(residualNorm, norm) }));
  const worst = tensors.reduce<(typeof tensors)[number] | undefined>(
    (most, one) => (one.error > (most?.error ?? 0) ? one : most),
    undefined,
  );
  return {
    rank: { least: ranks.reduce((a, b) => Math.min(a, b), Infinity), most: ranks.reduce((a, b) => Math.max(a, b), 0) },
    modules: kept.length,
    dtype,
    error: share(together([...weights.map(({ residualNorm }) => residualNorm), ...lost]), all),
    worst: worst === undefined ? null : { tensor: worst.tensor, error: worst.error },
    modulesToSave,
    biases,
    left: left.map(({ tensor, norm }) => ({ tensor, share: share(norm, all) })),
    tensors,
  };
}

const LISTED = 4;

const listed = (names: readonly string[]): string =>
  names.length > LISTED ? `${names.slice(0, LISTED).join(', ')} and ${names.length - LISTED} more` : names.join(', ');

export const rankText = ({ least, most }: AdapterReport['rank']): string => (least === most ? `rank ${most}` : `ranks ${least} to ${most}`);

/** `0.012 %`; rounding of fp32 is not told from nothing. */
export const errorText = (error: number): string => (error < 5e-7 ? 'below 0.0001 %' : `${Number((100 * error).toPrecision(2))} %`);

/** Labels and values: of a model card, and below the verdict of a command. */
export function adapterLines(report: AdapterReport): [label: string, value: string][] {
  const { rank, modules, error, worst, modulesToSave, biases, left } = report;
  const most = worst === null || modules === 1 ? '' : ` (most in ${worst.tensor}: ${errorText(worst.error)})`;
  const lines: [string, string][] = [
    ['Adapter', `${rankText(rank)} in ${modules} module${modules === 1 ? '' : 's'}, scale 1`],
    ['Error', `${errorText(error)} of the norm of all changes${most}`],
  ];
  if (modulesToSave.length > 0) lines.push(['Whole', `${listed(modulesToSave)}`]);
  if (biases.length > 0) lines.push(['Biases', `${listed(biases)}`]);
  if (left.length > 0) {
    const lost = together(left.map((one) => one.share));
    lines.push(['Left out', `${errorText(lost)} of the norm of all changes: ${listed(left.map(({ tensor }) => tensor))}`]);
  }
  return lines;
}
