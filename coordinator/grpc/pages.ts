import { TributaryError } from '../../shared/errors/tributary-error.js';

const DEFAULT_PAGE = 100;
const LARGEST_PAGE = 1000;

export function pageOf(pageSize: number): number {
  return pageSize === 0 ? DEFAULT_PAGE : Math.min(pageSize, LARGEST_PAGE);
}

/** `<created ms>/<name>` of the last row of the page before. */
export function readPageToken(token: string): { createdMs: number; name: string } | undefined {
  if (token === '') return undefined;
  const match = /^(\d{1,16})\/(.+)$/.exec(token);
  if (match?.[1] === undefined || match[2] === undefined)
    throw new TributaryError('USAGE', { what: 'Not a page token of ours', got: token });
  return { createdMs: Number(match[1]), name: match[2] };
}
