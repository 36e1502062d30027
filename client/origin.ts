/**
 * Where a pulled model came from, in a file beside its weights. Fine-tuning carries the digest on in the checkpoint's metadata, so that
 * a push can prove its base.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Model } from '../shared/generated/tributary/v1/models.js';

export const ORIGIN_FILE = 'tributary.json';

export interface Origin {
  readonly model: string;
  readonly weights_digest: string;
  readonly manifest_digest: string;
  readonly version: number;
  readonly server: string;
}

export async function writeOrigin(folder: string, model: Model, server: string): Promise<void> {
  const { name, weightsDigest: weights_digest, manifestDigest: manifest_digest, version } = model;
  const origin: Origin = { model: name, weights_digest, manifest_digest, version, server };
  await writeFile(join(folder, ORIGIN_FILE), `${JSON.stringify(origin, null, 2)}\n`);
}

/** Undefined when the folder was not pulled. */
export async function readOrigin(folder: string): Promise<Origin | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(join(folder, ORIGIN_FILE), 'utf8'));
    const isOrigin = typeof value === 'object' && value !== null && 'weights_digest' in value && typeof value.weights_digest === 'string';
    return isOrigin ? (value as Origin) : undefined;
  } catch {
    return undefined;
  }
}
