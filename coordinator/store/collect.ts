/**
 * Frees chunks that nothing needs: of uploads given up, of contributions withdrawn, superseded, quarantined or in cancelled rounds.
 * Mark and sweep. Invariants: while it runs no upload can be opened (see `opening` in Services), so nothing is freed that an upload was
 * just told exists; a chunk younger than the grace period is never freed.
 */
import { readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { uniqueChunks } from '../../shared/transfer/artifact.js';
import type { Services } from '../services.js';

/** An upload that breaks off may be continued for this long. */
const GRACE_MS = 24 * 3600 * 1000;

export interface Collected {
  readonly chunks: number;
  readonly bytes: number;
}

export async function collectGarbage(services: Services, graceMs = GRACE_MS): Promise<Collected> {
  const release = await services.opening.acquire();
  try {
    const before = services.nowMs() - graceMs;
    const needed = neededChunks(services);
    const rows = sweepRows(services, needed, before);
    const files = await sweepFiles(services, needed, before);
    dropManifests(services, before);
    return { chunks: rows.chunks + files.chunks, bytes: rows.bytes + files.bytes };
  } finally {
    release();
  }
}

/** Manifests of models, of contributions that count, and of uploads under way. */
const LIVE_MANIFESTS = `
  SELECT manifest_digest FROM models
  UNION SELECT manifest_digest FROM uploads WHERE state = 'receiving'
  UNION SELECT c.manifest_digest FROM contributions c JOIN rounds r ON r.name = c.round
    WHERE c.status = 'accepted' AND r.state != 'cancelled'`;

function neededChunks(services: Services): Set<string> {
  const needed = new Set<string>();
  for (const { manifest_digest: digest } of services.db.prepare(LIVE_MANIFESTS).all() as { manifest_digest: string }[]) {
    for (const chunk of uniqueChunks(services.models.artifact(digest)).keys()) needed.add(chunk);
  }
  return needed;
}

function sweepRows(services: Services, needed: ReadonlySet<string>, before: number): Collected {
  const old = services.db.prepare('SELECT digest, length(data) AS bytes FROM small_chunks WHERE created_ms < ?').all(before) as {
    digest: string;
    bytes: number;
  }[];
  const garbage = old.filter(({ digest }) => !needed.has(digest));
  const remove = services.db.prepare('DELETE FROM small_chunks WHERE digest = ?');
  for (const { digest } of garbage) remove.run(digest);
  return { chunks: garbage.length, bytes: garbage.reduce((sum, { bytes }) => sum + bytes, 0) };
}

async function sweepFiles(services: Services, needed: ReadonlySet<string>, before: number): Promise<Collected> {
  let chunks = 0;
  let bytes = 0;
  const root = join(services.config.data, 'chunks');
  for (const prefix of await readdir(root)) {
    for (const digest of await readdir(join(root, prefix))) {
      if (needed.has(digest)) continue;
      const path = join(root, prefix, digest);
      const info = await stat(path);
      if (info.mtimeMs >= before) continue;
      await unlink(path);
      chunks++;
      bytes += info.size;
    }
  }
  return { chunks, bytes };
}

/** A manifest goes with the last row that names it; only rows of things that ended long ago may lose theirs. */
function dropManifests(services: Services, before: number): void {
  services.db
    .prepare(
      `DELETE FROM manifests WHERE created_ms < ? AND digest NOT IN (SELECT manifest_digest FROM models)
         AND digest NOT IN (SELECT manifest_digest FROM uploads) AND digest NOT IN (SELECT manifest_digest FROM contributions)`,
    )
    .run(before);
}
