/** Models (registered bases and published merges) and manifests in the database. A row exists only for what is whole. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Artifact, decodeManifest } from '../../shared/transfer/artifact.js';
import type { Database } from '../state/database.js';

export interface ModelRow {
  readonly name: string;
  readonly origin: 'base' | 'round';
  readonly round: string | null;
  readonly version: number;
  readonly manifest_digest: string;
  readonly weights_digest: string;
  readonly total_bytes: number;
  readonly tensors: number;
  readonly parameters: number;
  readonly created_ms: number;
}

export type ModelFacts = Pick<ModelRow, 'name' | 'origin' | 'round' | 'version'> & { readonly createdMs: number };

/** The row of a model, from its manifest. */
export function describeRow({ createdMs, ...facts }: ModelFacts, artifact: Artifact): ModelRow {
  let parameters = 0;
  for (const tensor of artifact.tensors.values()) parameters += tensor.shape.reduce((product, size) => product * size, 1);
  return {
    ...facts,
    manifest_digest: artifact.manifestDigest,
    weights_digest: artifact.weightsDigest,
    total_bytes: artifact.totalBytes,
    tensors: artifact.tensors.size,
    parameters,
    created_ms: createdMs,
  };
}

/** Decoded manifests are kept for the rounds and uploads under way; one of a 70B model is about 10 MB. */
const CACHED_ARTIFACTS = 16;

/** Shortest digest prefix that may stand for a model. */
const MIN_DIGEST_PREFIX = 8;

export class ModelStore {
  readonly #db: Database;
  readonly #nowMs: () => number;
  readonly #artifacts = new Map<string, Artifact>();

  constructor(db: Database, nowMs: () => number) {
    this.#db = db;
    this.#nowMs = nowMs;
  }

  /** Stores a manifest; storing it again changes nothing. */
  putManifest(digest: string, bytes: Uint8Array): void {
    this.#db
      .prepare('INSERT OR IGNORE INTO manifests (digest, bytes, created_ms) VALUES (?, ?, ?)')
      .run(digest, Buffer.from(bytes), this.#nowMs());
  }

  manifestBytes(digest: string): Uint8Array {
    const row = this.#db.prepare('SELECT bytes FROM manifests WHERE digest = ?').get(digest) as { bytes: Uint8Array } | undefined;
    if (row === undefined) throw new TributaryError('INTERNAL', { what: 'A manifest that is referred to is missing', where: digest });
    return row.bytes;
  }

  artifact(digest: string): Artifact {
    let artifact = this.#artifacts.get(digest);
    if (artifact === undefined) artifact = decodeManifest(this.manifestBytes(digest), `manifest ${digest.slice(0, 12)}`);
    // Re-inserting keeps the map in order of use.
    this.#artifacts.delete(digest);
    this.#artifacts.set(digest, artifact);
    const oldest = this.#artifacts.keys().next().value;
    if (this.#artifacts.size > CACHED_ARTIFACTS && oldest !== undefined) this.#artifacts.delete(oldest);
    return artifact;
  }

  /** To be called inside the transaction that makes the model visible; `putManifest` must have happened. */
  insert(name: string, origin: 'base' | 'round', round: string | null, version: number, artifact: Artifact): void {
    const row = describeRow({ name, origin, round, version, createdMs: this.#nowMs() }, artifact);
    this.#db
      .prepare(
        `INSERT INTO models (name, origin, round, version, manifest_digest, weights_digest, total_bytes, tensors, parameters, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        name,
        origin,
        round,
        version,
        row.manifest_digest,
        row.weights_digest,
        row.total_bytes,
        row.tensors,
        row.parameters,
        row.created_ms,
      );
  }

  find(name: string): ModelRow | undefined {
    return this.#db.prepare('SELECT * FROM models WHERE name = ?').get(name) as ModelRow | undefined;
  }

  /** By name, by the name of the round that published it, or by a weights digest (a unique prefix). */
  resolve(reference: string): ModelRow {
    const named = this.find(reference);
    if (named !== undefined) return named;
    if (new RegExp(`^[0-9a-f]{${MIN_DIGEST_PREFIX},64}$`).test(reference)) {
      const rows = this.#db
        .prepare('SELECT * FROM models WHERE substr(weights_digest, 1, ?) = ? ORDER BY created_ms LIMIT 2')
        .all(reference.length, reference) as ModelRow[];
      if (rows[0] !== undefined && (rows.length === 1 || rows[1]?.weights_digest === rows[0].weights_digest)) return rows[0];
      if (rows.length > 1) {
        throw new TributaryError('MODEL_NOT_FOUND', {
          what: `More than one model's digest begins with ${reference}`,
          fix: 'Give more digits.',
        });
      }
    }
    const round = this.#db.prepare('SELECT state FROM rounds WHERE name = ?').get(reference) as { state: string } | undefined;
    if (round !== undefined) {
      throw new TributaryError('MODEL_NOT_FOUND', {
        what: `Round ${reference} has no model yet`,
        expected: 'a published round',
        got: round.state,
        fix: `\`tributary round watch ${reference}\` waits for it.`,
      });
    }
    throw new TributaryError('MODEL_NOT_FOUND', {
      what: `There is no model named ${reference}`,
      fix: '`tributary base list` shows the bases, `tributary round list` the rounds and their models.',
    });
  }

  list(origin: ModelRow['origin'] | undefined, limit: number, before: { createdMs: number; name: string } | undefined): ModelRow[] {
    return this.#db
      .prepare(
        `SELECT * FROM models WHERE (?1 IS NULL OR origin = ?1) AND (?2 IS NULL OR (created_ms, name) < (?2, ?3))
         ORDER BY created_ms DESC, name DESC LIMIT ?4`,
      )
      .all(origin ?? null, before?.createdMs ?? null, before?.name ?? null, limit) as ModelRow[];
  }
}
