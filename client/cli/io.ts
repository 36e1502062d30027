/**
 * What commands say and where. Results go to stdout; everything for watching goes to stderr. With --format json stdout carries exactly
 * one JSON document, whatever happens, and people's text moves to stderr.
 */
import picocolors from 'picocolors';
import type { TributaryError } from '../../shared/errors/tributary-error.js';

export type OutputFormat = 'table' | 'json';

export interface Io {
  readonly format: OutputFormat;
  /** Whether a person watches stderr on a terminal. */
  readonly interactive: boolean;
  readonly colors: ReturnType<typeof picocolors.createColors>;
  /** A line for people. */
  line(text: string): void;
  /** A line about what is going on; never on stdout. */
  note(text: string): void;
  /** The result: `document` with --format json, else `text`. Once per command. */
  result(document: unknown, text: string): void;
}

export function createIo(format: OutputFormat, quiet: boolean): Io {
  const colors = picocolors.createColors(picocolors.isColorSupported && process.stdout.isTTY === true);
  return {
    format,
    interactive: process.stderr.isTTY === true && !quiet,
    colors,
    line: (text) => void (format === 'json' ? process.stderr : process.stdout).write(`${text}\n`),
    note: (text) => {
      if (!quiet) process.stderr.write(`${text}\n`);
    },
    result: (document, text) => {
      if (format === 'json') {
        process.stdout.write(`${JSON.stringify(document, jsonValue, 2)}\n`);
        if (!quiet) process.stderr.write(`${text}\n`);
      } else {
        process.stdout.write(`${text}\n`);
      }
    },
  };
}

/** bigint as number where that is exact, digests as hex. */
function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return value;
}

/** An error as people read it: what, where, expected, got, what to do, and the stable code. */
export function describeError(error: TributaryError, colors: Io['colors']): string {
  const { what, where, expected, got, fix } = error.details;
  const lines = [`${colors.red('error')} ${what} [${error.code}]`];
  if (where !== undefined) lines.push(`  where     ${where}`);
  if (expected !== undefined) lines.push(`  expected  ${expected}`);
  if (got !== undefined) lines.push(`  got       ${got}`);
  if (fix !== undefined) lines.push(`  do        ${fix}`);
  return lines.join('\n');
}
