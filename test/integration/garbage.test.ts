import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../coordinator/config.js';
import { createServices, type Services } from '../../coordinator/services.js';
import { type Database, openDatabase } from '../../coordinator/state/database.js';
import { collectGarbage } from '../../coordinator/store/collect.js';
import { encodeSafetensorsHeader } from '../../shared/formats/safetensors-header.js';
import { decodeManifest, encodeManifest } from '../../shared/transfer/artifact.js';
import { tempDir } from '../support/temp-dir.js';

/** Everything counts as old: as if a day had passed. */
const NO_GRACE_MS = -1000;

const root = tempDir();
let services: Services;
let db: Database;

beforeEach(() => {
  const data = mkdtempSync(join(root, 'data-'));
  db = openDatabase(data);
  const config = loadConfig({ environment: {}, flags: { data } });
  services = createServices(config, pino({ level: 'silent' }), db, Date.now, new AbortController().signal);
});

afterEach(async () => {
  await services.chunks.close();
  db.close();
});

async function store(bytes: Uint8Array): Promise<Uint8Array> {
  const digest = createHash('sha256').update(bytes).digest();
  const chunk = await services.chunks.receive(digest.toString('hex'), bytes.length);
  chunk.bytes.set(bytes);
  expect(await chunk.commit()).toBe(true);
  return digest;
}

const has = (digest: Uint8Array): Promise<boolean> => services.chunks.has(Buffer.from(digest).toString('hex'));

describe('collecting garbage', () => {
  it('frees chunks nothing needs, small and large, and keeps those of models', async () => {
    const tensors = [
      { name: 'large', dtype: 'F32' as const, shape: [50_000] },
      { name: 'small', dtype: 'F32' as const, shape: [10] },
    ];
    const header = encodeSafetensorsHeader(tensors);
    const kept = [await store(new Uint8Array(200_000).fill(1)), await store(new Uint8Array(40).fill(2))];
    const lost = [await store(new Uint8Array(200_000).fill(3)), await store(new Uint8Array(40).fill(4))];
    const manifest = encodeManifest('full', [{ path: 'model.safetensors', sizeBytes: header.length + 200_040, header, digests: kept }]);
    const artifact = decodeManifest(manifest, 'test');
    services.models.putManifest(artifact.manifestDigest, manifest);
    services.models.insert('base', 'base', null, 0, artifact);

    expect(await collectGarbage(services)).toEqual({ chunks: 0, bytes: 0 });
    expect(await collectGarbage(services, NO_GRACE_MS)).toEqual({ chunks: 2, bytes: 200_040 });

    for (const digest of kept) expect(await has(digest)).toBe(true);
    for (const digest of lost) expect(await has(digest)).toBe(false);
  });

  it('waits for an upload that is being opened', async () => {
    const release = await services.opening.acquire();
    let done = false;
    const collecting = collectGarbage(services, NO_GRACE_MS).then(() => {
      done = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(done).toBe(false);
    release();
    await collecting;
    expect(done).toBe(true);
  });
});
