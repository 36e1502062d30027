/**
 * What the calls of ModelService mean by a name: a model, a contribution that agents merge from (`rounds/ROUND/CONTRIBUTOR`), or a candidate
 * that the coordinator merged for them (`rounds/ROUND/candidates/ID`).
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { CandidateAccess } from '../../shared/recipe/map-block.js';
import type { Artifact, ArtifactChunk, ArtifactFile } from '../../shared/transfer/artifact.js';
import type { KnownStudy } from '../evaluation/known-studies.js';
import { parseReference, type StudyReference } from '../evaluation/references.js';
import { parseRoundRecipe } from '../rounds/round-recipe.js';
import type { Services } from '../services.js';
import { ChunkReader } from '../store/chunk-reader.js';
import { describeRow, type ModelRow } from './model-store.js';

/** Reads the bytes of one artifact's chunks. */
export interface PieceReader {
  /** Fills `into` with the bytes of a chunk of a file from `offset` in the chunk. */
  read(file: ArtifactFile, chunk: ArtifactChunk, offset: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export interface Referred {
  readonly row: ModelRow;
  readonly artifact: Artifact;
  readonly manifest: Uint8Array;
  /** Makes a reader; several may read at once. */
  readonly reader: () => PieceReader;
  /** To be called when nothing is read any more. */
  readonly release: () => void;
}

/** @throws MODEL_NOT_FOUND, ROUND_NOT_FOUND, STUDY_NOT_FOUND, CONTRIBUTION_NOT_FOUND, PERMISSION_DENIED */
export async function resolveReference(services: Services, name: string): Promise<Referred> {
  const reference = parseReference(name);
  if (reference === undefined) {
    const row = services.models.resolve(name);
    return stored(services, row, row.manifest_digest);
  }
  const study = studyOf(services, reference);
  const version = services.models.resolve(study.round.base_name).version + 1;
  if (reference.kind === 'candidate') {
    const { folder, manifest, artifact, release } = await services.served.open(study, reference.candidate);
    const row = describeRow({ name, origin: 'round', round: reference.round, version, createdMs: services.nowMs() }, artifact);
    return { row, artifact, manifest, reader: () => new FolderReader(join(services.config.data, folder)), release };
  }
  const contribution = study.contributions.find(({ contributor }) => contributor === reference.contributor);
  if (contribution === undefined)
    throw new TributaryError('CONTRIBUTION_NOT_FOUND', {
      what: `${reference.contributor} has no accepted contribution in round ${reference.round}`,
      expected: study.spec.contributors.join(', '),
    });
  const artifact = services.models.artifact(contribution.manifest_digest);
  const facts = { name, origin: 'round' as const, round: reference.round, version, createdMs: contribution.created_ms };
  return stored(services, describeRow(facts, artifact), contribution.manifest_digest);
}

function stored(services: Services, row: ModelRow, manifestDigest: string): Referred {
  return {
    row,
    artifact: services.models.artifact(manifestDigest),
    manifest: services.models.manifestBytes(manifestDigest),
    reader: () => {
      const chunks = new ChunkReader(services.chunks);
      return { read: (_file, chunk, offset, into) => chunks.read(chunk.digest, offset, into), close: () => chunks.close() };
    },
    release: () => {},
  };
}

const REFUSALS: Readonly<Record<CandidateAccess, string>> = {
  local: 'the agents of this study merge its candidates themselves',
  served: 'the contributors of this study do not see one another’s vectors',
};

function studyOf(services: Services, { kind, round: name }: StudyReference): KnownStudy {
  const wanted: CandidateAccess = kind === 'candidate' ? 'served' : 'local';
  const access = parseRoundRecipe(services.rounds.get(name).recipe).recipe.map?.access;
  if (access === wanted) return services.knownStudies.get(name);
  throw new TributaryError('PERMISSION_DENIED', {
    what: `Round ${name} does not give away its ${kind === 'candidate' ? 'candidates' : 'contributions'}`,
    expected: `a map block with candidates: ${wanted}`,
    got: access === undefined ? 'no map block' : REFUSALS[access],
  });
}

/** Reads files of a folder, keeping the last one open. */
class FolderReader implements PieceReader {
  readonly #folder: string;
  #file: { readonly path: string; readonly handle: FileHandle } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async read({ path }: ArtifactFile, chunk: ArtifactChunk, offset: number, into: Uint8Array): Promise<void> {
    if (this.#file?.path !== path) {
      await this.close();
      this.#file = { path, handle: await open(join(this.#folder, path), 'r') };
    }
    const { bytesRead } = await this.#file.handle.read(into, 0, into.length, chunk.offset + offset);
    if (bytesRead !== into.length) throw new TributaryError('INTERNAL', { what: 'A file is shorter than it was', where: path });
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }
}
