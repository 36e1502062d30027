/**
 * What stays in the cache of models and what goes. Always stays: what is in use, and what an open study of this agent needs. Of the rest goes what was
 * not used for some days and, least recently used first, what is above the limit of size. A removal begins with a rename, so that one that was broken
 * off leaves nothing that could be taken for a model. Nothing here ever ends an agent: what cannot be removed stays.
 */
import { renameSync } from 'node:fs';
import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { readOrigin } from '../origin.js';

export interface CacheLimits {
  /** Infinity: none. */
  readonly sizeBytes: number;
  readonly unusedMs: number;
}

export interface StoredModel {
  /** Of its manifest. */
  readonly digest: string;
  readonly path: string;
  /** As the coordinator called it; of a download that was broken off the digest. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Unix ms. */
  readonly usedMs: number;
}

export interface RemovedModel {
  readonly name: string;
  readonly sizeBytes: number;
  readonly why: 'unused' | 'size' | 'partial';
}

export interface CacheState {
  readonly models: number;
  readonly sizeBytes: number;
  readonly removed: readonly RemovedModel[];
}

export interface CachePrunerOptions {
  readonly folder: string;
  readonly limits: CacheLimits;
  /** Digests. Asked right before each removal. */
  readonly inUse: () => ReadonlySet<string>;
  /** Digests of what open studies need; undefined when that cannot be known now: nothing goes then. */
  readonly needed: () => Promise<ReadonlySet<string> | undefined>;
  /** In the turn of the event loop in which it stops being there. */
  readonly onRemove: (digest: string) => void;
  readonly nowMs: () => number;
}

export interface CachePruner {
  /** @param bytesToCome that the limit has to leave room for; Infinity: as much as there is */
  prune(bytesToCome?: number): Promise<CacheState>;
  /** To be called when they were used. */
  touch(digests: Iterable<string>): Promise<void>;
}

const MODEL = /^[0-9a-f]{64}$/;
/** What `pull` keeps of a download that was broken off. */
const PARTIAL = /^\.([0-9a-f]{64})\.tributary-partial$/;
const REMOVED = /^\.[0-9a-f]{64}\.removed$/;

/** Which go, and why. Oldest use first. */
export function chooseUnneeded(
  models: readonly StoredModel[],
  { limits, nowMs, kept, bytesToCome }: { limits: CacheLimits; nowMs: number; kept: ReadonlySet<string>; bytesToCome: number },
): { readonly model: StoredModel; readonly why: 'unused' | 'size' }[] {
  let heldBytes = models.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const chosen: { model: StoredModel; why: 'unused' | 'size' }[] = [];
  for (const model of models.filter(({ digest }) => !kept.has(digest)).sort((a, b) => a.usedMs - b.usedMs)) {
    const isOld = nowMs - model.usedMs > limits.unusedMs;
    const isTooMuch = bytesToCome === Infinity || heldBytes + bytesToCome > limits.sizeBytes;
    if (!isOld && !isTooMuch) break;
    heldBytes -= model.sizeBytes;
    chosen.push({ model, why: isOld ? 'unused' : 'size' });
  }
  return chosen;
}

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    entries.filter((entry) => entry.isFile()).map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** What vanishes meanwhile is not there. */
async function look(path: string, digest: string): Promise<StoredModel | undefined> {
  try {
    const [sizeBytes, { mtimeMs: usedMs }, origin] = [await sizeOf(path), await stat(path), await readOrigin(path)];
    return { digest, path, name: origin?.model ?? digest.slice(0, 12), sizeBytes, usedMs };
  } catch {
    return undefined;
  }
}

export function createCachePruner(options: CachePrunerOptions): CachePruner {
  const { folder, limits, inUse, needed, onRemove, nowMs } = options;
  let last: Promise<unknown> = Promise.resolve();

  async function list(pattern: RegExp): Promise<StoredModel[]> {
    const names = await readdir(folder).catch((): string[] => []);
    const digests = names.flatMap((name) => (pattern.test(name) ? [{ name, digest: pattern.exec(name)?.[1] ?? name }] : []));
    const models = await Promise.all(digests.map(({ name, digest }) => look(join(folder, name), digest)));
    return models.flatMap((model) => model ?? []);
  }

  /** @returns whether it is gone */
  async function remove({ path, digest }: StoredModel): Promise<boolean> {
    const away = join(folder, `.${digest}.removed`);
    try {
      await rm(away, { recursive: true, force: true });
      // In one turn of the event loop: who begins to use a model says so before it looks for the folder.
      if (inUse().has(digest)) return false;
      renameSync(path, away);
      onRemove(digest);
      await rm(away, { recursive: true, force: true });
      return true;
    } catch {
      return false;
    }
  }

  async function pruneNow(bytesToCome: number): Promise<CacheState> {
    for (const { path } of await list(REMOVED)) await rm(path, { recursive: true, force: true }).catch(() => undefined);
    const open = await needed();
    const [models, partials] = [await list(MODEL), await list(PARTIAL)];
    const removed: RemovedModel[] = [];
    let heldBytes = models.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (open !== undefined) {
      const kept = new Set([...open, ...inUse()]);
      const whole = new Set(models.map(({ digest }) => digest));
      for (const model of partials) {
        const isWanted = kept.has(model.digest) && !whole.has(model.digest);
        if (!isWanted && (await remove(model))) removed.push({ name: model.name, sizeBytes: model.sizeBytes, why: 'partial' });
      }
      for (const { model, why } of chooseUnneeded(models, { limits, nowMs: nowMs(), kept, bytesToCome })) {
        if (!(await remove(model))) continue;
        heldBytes -= model.sizeBytes;
        removed.push({ name: model.name, sizeBytes: model.sizeBytes, why });
      }
    }
    const gone = removed.filter(({ why }) => why !== 'partial').length;
    return { models: models.length - gone, sizeBytes: heldBytes, removed };
  }

  return {
    prune(bytesToCome = 0) {
      // One at a time.
      const state = last.then(() => pruneNow(bytesToCome));
      last = state.catch(() => undefined);
      return state;
    },
    async touch(digests) {
      const now = new Date(nowMs());
      for (const digest of digests) await utimes(join(folder, digest), now, now).catch(() => undefined);
    },
  };
}
