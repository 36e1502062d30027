/** `tributary push --compress star:ETA`: what is pushed are truncated factors of the task vector, made here and gone when the push is over. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { adapterFolderAt } from '../../shared/formats/adapter.js';
import { type CompressedFolder, compressFolder } from '../push/compress-folder.js';
import { DigestCache } from '../push/digest-cache.js';
import { cacheDir } from '../settings.js';
import type { CommandContext } from './context.js';
import { byteProgress } from './progress.js';
import type { PushFlags } from './push-command.js';

/** Percent of the nuclear norm that stays. @throws USAGE */
export function parseCompression(text: string): number {
  const eta = Number(/^star:(\d+(?:\.\d+)?)$/.exec(text)?.[1]);
  if (eta > 0 && eta <= 100) return eta;
  throw new TributaryError('USAGE', {
    what: 'Not a compression',
    where: '--compress',
    expected: 'star:ETA, ETA percent of the nuclear norm to keep, above 0 and at most 100',
    got: text,
    fix: 'Try star:40.',
  });
}

async function refuseAdapter(folder: string): Promise<void> {
  if ((await adapterFolderAt(folder)) === undefined) return;
  throw new TributaryError('USAGE', {
    what: 'An adapter is factors already',
    where: '--compress',
    got: folder,
    fix: 'Push it without --compress.',
  });
}

/** @returns the base's folder. @throws USAGE */
function requireBaseFolder({ base, kind }: PushFlags): string {
  if (kind !== 'full')
    throw new TributaryError('USAGE', {
      what: `--compress takes fine-tuned weights, not --kind ${kind}`,
      where: '--kind',
      fix: 'Push the fine-tuned weights with --compress, or push this as it is.',
    });
  if (base !== undefined && existsSync(base)) return base;
  const name = base ?? 'BASE';
  throw new TributaryError('USAGE', {
    what: '--compress needs the weights of the base, to take them off',
    where: '--base',
    expected: 'the folder that was fine-tuned from',
    got: base === undefined ? 'nothing' : `${base}, and there is no such folder`,
    fix: `tributary pull ${name} --out base, then push with --base base.`,
  });
}

/** Runs `body` with what is to be pushed; its files are gone afterwards, whatever happened. @throws USAGE, and as compressFolder */
export async function withCompressed<T>(
  context: CommandContext,
  folder: string,
  flags: PushFlags & { readonly compress: string },
  body: (compressed: CompressedFolder) => Promise<T>,
): Promise<T> {
  const eta = parseCompression(flags.compress);
  const base = requireBaseFolder(flags);
  await refuseAdapter(folder);
  const scratchDir = await mkdtemp(join(tmpdir(), 'tributary-compress-'));
  const hashing = byteProgress(context.io, 'hashing');
  const compressing = byteProgress(context.io, 'compressing');
  try {
    const compressed = await compressFolder(folder, base, {
      eta,
      scratchDir,
      findEngine: context.findEngine,
      threads: context.threads,
      cache: new DigestCache(cacheDir(process.env)),
      signal: context.signal,
      onProgress: (done, total) => {
        hashing.update(done, total);
        if (done === total) hashing.stop();
      },
      onNote: (note) => {
        hashing.stop();
        context.io.note(note);
      },
      onMatrices: ({ done, total, doneBytes, totalBytes }) => {
        compressing.update(doneBytes, totalBytes, 0, `matrices ${done} of ${total}`);
      },
    });
    hashing.stop();
    compressing.stop();
    return await body(compressed);
  } finally {
    hashing.stop();
    compressing.stop();
    await rm(scratchDir, { recursive: true, force: true });
  }
}
