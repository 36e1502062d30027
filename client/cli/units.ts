/** Numbers as people read and type them. */
import { TributaryError } from '../../shared/errors/tributary-error.js';

/** Decimal units, as disks and networks are sold: 1 kB = 1000 bytes. */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes);
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (value < 1000) return `${unit === 'B' ? value : value.toPrecision(3)} ${unit}`;
    value /= 1000;
  }
  return `${value.toPrecision(3)} TB`;
}

export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

const DURATION_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `30m`, `2h`, `3d` from now, or an ISO date and time. */
export function parseDeadline(text: string, nowMs: number): Date {
  const duration = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text);
  if (duration !== null) return new Date(nowMs + Number(duration[1]) * (DURATION_MS[duration[2] as string] as number));
  const date = new Date(text);
  if (!Number.isNaN(date.getTime()) && /^\d{4}-/.test(text)) return date;
  throw new TributaryError('USAGE', {
    what: 'Not a deadline',
    where: '--deadline',
    expected: 'like 90s, 30m, 2h, 3d or 2026-11-30T18:00Z',
    got: text,
  });
}

/** A whole number from `least`. For commander options. */
export function wholeNumber(flag: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
    throw new TributaryError('USAGE', { what: 'Not a usable number', where: flag, expected: `a whole number from ${least}`, got: text });
  };
}

const SIZE_BYTES: Readonly<Record<string, number>> = { '': 1, B: 1e9, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** `5B` (as mergekit writes it: billions), `5G`, `500M`, `1000000`; decimal units. */
export function parseBytes(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([BKMGT]?)B?$/i.exec(text);
  const bytes = match === null ? Number.NaN : Math.floor(Number(match[1]) * (SIZE_BYTES[(match[2] as string).toUpperCase()] as number));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new TributaryError('USAGE', { what: 'Not a usable size', where: flag, expected: 'like 5G, 500M or 5B', got: text });
}
