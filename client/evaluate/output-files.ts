/**
 * The JSON file that a program left: a file, anything below a folder, or a pattern. Files that were there before the program ran and did not change
 * are never taken: a result of the last candidate must not pass for this one's.
 */
import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { toTributaryError } from '../../shared/errors/tributary-error.js';

/** Path to what tells one state of a file from another. */
export type FileStates = ReadonlyMap<string, { readonly state: string; readonly changedNs: bigint }>;

/** A walk that goes deeper looks at something else than results. */
const MAX_DEPTH = 12;

/** Files that `pattern` (absolute, or relative to `folder`) means. A folder means every .json file below it. */
export async function listOutputs(pattern: string, folder: string): Promise<FileStates> {
  const full = resolve(folder, pattern);
  const states = new Map<string, { state: string; changedNs: bigint }>();
  const fixed = full.split('/').findIndex((part) => /[*?]/.test(part));
  if (fixed < 0) {
    await collect(full, (path) => path === full || path.endsWith('.json'), states, 0);
  } else {
    const start = full.split('/').slice(0, fixed).join('/') || '/';
    const wanted = patternToExpression(full);
    await collect(start, (path) => wanted.test(path), states, 0);
  }
  return states;
}

/** The newest file that is new or changed since `before`. */
export function newestOutput(before: FileStates, after: FileStates): string | undefined {
  const fresh = [...after].filter(([path, { state }]) => before.get(path)?.state !== state);
  fresh.sort(([nameA, a], [nameB, b]) => (a.changedNs === b.changedNs ? (nameA < nameB ? 1 : -1) : a.changedNs < b.changedNs ? 1 : -1));
  return fresh[0]?.[0];
}

async function collect(
  path: string,
  wanted: (path: string) => boolean,
  into: Map<string, { state: string; changedNs: bigint }>,
  depth: number,
): Promise<void> {
  const found = await stat(path, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw toTributaryError(error, path);
  });
  if (found?.isFile() === true && wanted(path)) {
    into.set(path, { state: `${found.ino} ${found.size} ${found.mtimeNs}`, changedNs: found.mtimeNs });
  }
  if (found?.isDirectory() !== true || depth > MAX_DEPTH) return;
  const names = await readdir(path).catch((error: unknown) => Promise.reject(toTributaryError(error, path)));
  for (const name of names.sort()) await collect(join(path, name), wanted, into, depth + 1);
}

/** `**` is any folders, `*` and `?` stay within a name. */
function patternToExpression(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*\*\/|\*\*|\*|\?/g, (token) => ({ '**/': '(?:[^/]+/)*', '**': '.*', '*': '[^/]*' })[token] ?? '[^/]');
  return new RegExp(`^${source}$`);
}
