/** What a manifest from a stranger must not be. */
import { TributaryError } from '../errors/tributary-error.js';
import { ADAPTER_CONFIG_FILE } from '../formats/adapter-files.js';
import type { ArtifactForm } from './artifact-kind.js';
import { compareStrings } from './weights-digest.js';

/** An adapter says what its factors mean, and nothing else has its content in the manifest. */
export function checkContents(
  kind: ArtifactForm,
  files: readonly { readonly path: string; readonly content?: Uint8Array }[],
  where: string,
): void {
  const expected = kind === 'lora' ? [ADAPTER_CONFIG_FILE] : [];
  const got = files.filter((file) => file.content !== undefined).map((file) => file.path);
  if (got.join() === expected.join()) return;
  throw invalidManifest(where, 'The manifest holds the content of the wrong files', {
    expected: expected.join(', ') || 'none',
    got: got.join(', ') || 'none',
  });
}

/** Paths come from a stranger and become file names at whoever pulls: only plain relative ones pass. */
export function checkPath(path: string, previous: string, where: string): void {
  const parts = path.split('/');
  const plain = path.length > 0 && path.length <= 512 && parts.every((part) => /^[\w][\w .+@()=,-]*$/u.test(part) && !part.endsWith('.'));
  if (!plain)
    throw invalidManifest(where, 'A file has an unusable path', {
      expected: 'a relative path without .. or hidden parts',
      got: JSON.stringify(path),
    });
  if (compareStrings(previous, path) >= 0) throw invalidManifest(where, 'Files are not sorted by path or occur twice', { got: path });
}

export function invalidManifest(where: string, what: string, more: { expected?: string; got?: string; cause?: unknown }): TributaryError {
  return new TributaryError(
    'MANIFEST_INVALID',
    { what, where, expected: more.expected, got: more.got },
    more.cause === undefined ? undefined : { cause: more.cause },
  );
}
