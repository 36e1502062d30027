import { CATALOGUE, type CatalogueEntry, type ErrorCode, isErrorCode } from './catalogue.js';

/** What an error tells a person: what happened, where, what was expected, what was there, and what to do. */
export interface ErrorDetails {
  readonly what: string;
  readonly where?: string | undefined;
  readonly expected?: string | undefined;
  readonly got?: string | undefined;
  readonly fix?: string | undefined;
}

/** The one error class that crosses module, process and network borders. `code` is stable (see the catalogue). */
export class TributaryError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails, options?: { cause?: unknown }) {
    super(formatDetails(details), options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TributaryError';
    this.code = code;
    this.details = details;
  }

  get entry(): CatalogueEntry {
    return CATALOGUE[this.code];
  }

  toJSON(): SerializedError {
    return { code: this.code, details: this.details };
  }
}

/** The form in which an error crosses a thread or the network. */
export interface SerializedError {
  readonly code: string;
  readonly details: ErrorDetails;
}

function formatDetails(details: ErrorDetails): string {
  let text = details.what;
  if (details.where !== undefined) text += ` [${details.where}]`;
  if (details.expected !== undefined) text += `; expected ${details.expected}`;
  if (details.got !== undefined) text += `; got ${details.got}`;
  if (details.fix !== undefined) text += `. ${details.fix}`;
  return text;
}

/** Rebuilds an error that crossed a border; an unknown code (a newer peer) becomes INTERNAL with the code kept in the text. */
export function deserializeError(serialized: SerializedError): TributaryError {
  if (isErrorCode(serialized.code)) return new TributaryError(serialized.code, serialized.details);
  return new TributaryError('INTERNAL', { ...serialized.details, what: `${serialized.code}: ${serialized.details.what}` });
}

const SYSTEM_CODES: Record<string, ErrorCode> = {
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
  EFBIG: 'DISK_FULL',
  EADDRINUSE: 'PORT_IN_USE',
};

/** Turns anything thrown into a TributaryError: operating-system errors keep their path, everything unknown is INTERNAL. */
export function toTributaryError(error: unknown, where?: string): TributaryError {
  if (error instanceof TributaryError) return error;
  if (error instanceof Error) {
    const system = error as NodeJS.ErrnoException;
    if (typeof system.code === 'string' && typeof system.syscall === 'string') {
      const code = SYSTEM_CODES[system.code] ?? 'IO_ERROR';
      return new TributaryError(
        code,
        {
          what: `${system.syscall} failed with ${system.code}`,
          where: system.path ?? where,
          fix: code === 'DISK_FULL' ? 'Free some space and run the same command again; it resumes.' : undefined,
        },
        { cause: error },
      );
    }
    return new TributaryError('INTERNAL', { what: error.message, where }, { cause: error });
  }
  return new TributaryError('INTERNAL', { what: String(error), where });
}
