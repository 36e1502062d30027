/**
 * Pull: fetches a model into a folder beside the target, checks every chunk against the manifest, and renames once all of it is
 * right. A pull that was broken off keeps what it has: the next one checks it and fetches only the rest.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Model } from '../../shared/generated/tributary/v1/models.js';
import { hashSegments } from '../../shared/merge/hash-segments.js';
import { type Artifact, type ArtifactChunk, type ArtifactFile, decodeManifest } from '../../shared/transfer/artifact.js';
import { toHex } from '../../shared/util/hex.js';
import type { Connection } from '../api/connection.js';
import { type Patience, persevere } from '../api/retry.js';
import { ORIGIN_FILE, writeOrigin } from '../origin.js';

export interface PullOptions {
  readonly name: string;
  readonly outDir: string;
  readonly threads: number;
  readonly patience: Patience;
  readonly onProgress: (doneBytes: number, totalBytes: number, savedBytes: number) => void;
}

export interface PullReport {
  readonly model: Model;
  readonly outDir: string;
  readonly totalBytes: number;
  /** Already there from a pull that was broken off. */
  readonly savedBytes: number;
}

/** Parallel downloads, as many as a push has streams. */
const STREAMS = 4;

/** What one Download call fetches: long enough that calls do not count, short enough to spread over the streams. */
const RUN_BYTES = 32 * 1024 * 1024;

interface Run {
  readonly file: ArtifactFile;
  readonly chunks: readonly ArtifactChunk[];
}

export async function pull(connection: Connection, options: PullOptions): Promise<PullReport> {
  const outDir = resolve(options.outDir);
  const existing = existsSync(outDir) ? await readdir(outDir) : [];
  if (existing.length > 0) {
    throw new TributaryError('OUTPUT_EXISTS', {
      what: 'The output folder is not empty',
      where: outDir,
      fix: 'Choose another --out, or remove it.',
    });
  }
  const { model, artifact } = await resolveModel(connection, options);
  const partial = join(dirname(outDir), `.${basename(outDir)}.tributary-partial`);
  const savedBytes = await fetchInto(connection, model, artifact, partial, options);
  await writeOrigin(partial, model, connection.server);
  if (existsSync(outDir)) await rmdir(outDir);
  await rename(partial, outDir);
  return { model, outDir, totalBytes: artifact.totalBytes, savedBytes };
}

/**
 * The same into a folder that may hold another model: what differs is overwritten where it lies. Until it has returned, the folder is neither
 * the one nor the other.
 */
export async function pullInPlace(connection: Connection, options: PullOptions): Promise<PullReport> {
  const outDir = resolve(options.outDir);
  const { model, artifact } = await resolveModel(connection, options);
  const savedBytes = await fetchInto(connection, model, artifact, outDir, options);
  return { model, outDir, totalBytes: artifact.totalBytes, savedBytes };
}

async function resolveModel(connection: Connection, { name, patience }: PullOptions): Promise<{ model: Model; artifact: Artifact }> {
  const { signal } = patience;
  const { model, artifact } = await persevere(patience, async () => ({
    model: await connection.models.getModel({ name }, { signal }),
    artifact: await fetchManifest(connection, name, signal),
  }));
  if (artifact.manifestDigest !== model.manifestDigest) {
    throw new TributaryError('DIGEST_MISMATCH', {
      what: 'The manifest was damaged on its way',
      expected: model.manifestDigest,
      got: artifact.manifestDigest,
      fix: 'Pull again.',
    });
  }
  return { model, artifact };
}

/** Makes the files of a folder those of an artifact, and nothing else. @returns bytes that were right already */
async function fetchInto(connection: Connection, model: Model, artifact: Artifact, folder: string, options: PullOptions): Promise<number> {
  const { signal } = options.patience;
  await mkdir(folder, { recursive: true });
  const missing = await findMissing(artifact, folder, options.threads, signal);
  const headerBytes = artifact.files.reduce((sum, file) => sum + ((file.header ?? file.content)?.length ?? 0), 0);
  const savedBytes = artifact.totalBytes - headerBytes - bytesOf(missing);
  let doneBytes = headerBytes + savedBytes;
  options.onProgress(doneBytes, artifact.totalBytes, savedBytes);
  let rest = missing;
  await persevere(options.patience, async (progressed) => {
    await fetchRuns(connection, model.name, rest, folder, signal, (run) => {
      rest = rest.filter((other) => other !== run);
      doneBytes += bytesOf([run]);
      progressed();
      options.onProgress(doneBytes, artifact.totalBytes, savedBytes);
    });
  });
  await removeStrangers(folder, artifact);
  return savedBytes;
}

async function fetchManifest(connection: Connection, name: string, signal: AbortSignal): Promise<Artifact> {
  const parts: Uint8Array[] = [];
  for await (const { manifestPart } of connection.models.getManifest({ name }, { signal })) parts.push(manifestPart);
  return decodeManifest(Buffer.concat(parts), `manifest of ${name}`);
}

/** Lays out the files at full size and returns the runs of chunks that are not right yet. */
async function findMissing(artifact: Artifact, partial: string, threads: number, signal: AbortSignal): Promise<Run[]> {
  const runs: Run[] = [];
  for (const file of artifact.files) {
    const path = join(partial, file.path);
    await mkdir(dirname(path), { recursive: true });
    const isNew = !existsSync(path) || (await stat(path)).size !== file.sizeBytes;
    const handle = await open(path, existsSync(path) ? 'r+' : 'w+');
    try {
      await handle.truncate(file.sizeBytes);
      const known = file.header ?? file.content;
      if (known !== undefined) await handle.write(known, 0, known.length, 0);
    } finally {
      await handle.close();
    }
    const wrong = isNew ? file.chunks : await wrongChunks(path, file, threads, signal);
    runs.push(...cutRuns(file, wrong));
  }
  return runs;
}

async function wrongChunks(path: string, file: ArtifactFile, threads: number, signal: AbortSignal): Promise<ArtifactChunk[]> {
  const jobs = file.chunks.map((chunk) => [{ path, offset: chunk.offset, length: chunk.length }]);
  if (jobs.length === 0) return [];
  const digests = await hashSegments(jobs, { threads, signal });
  return file.chunks.filter((chunk, index) => toHex(digests[index] as Uint8Array) !== chunk.digest);
}

/** Joins neighbouring chunks into runs of at most RUN_BYTES. */
function cutRuns(file: ArtifactFile, chunks: readonly ArtifactChunk[]): Run[] {
  const runs: ArtifactChunk[][] = [];
  let runBytes = 0;
  let end = -1;
  for (const chunk of chunks) {
    const current = runs.at(-1);
    if (current === undefined || chunk.offset !== end || runBytes + chunk.length > RUN_BYTES) {
      runs.push([chunk]);
      runBytes = 0;
    } else {
      current.push(chunk);
    }
    runBytes += chunk.length;
    end = chunk.offset + chunk.length;
  }
  return runs.map((run) => ({ file, chunks: run }));
}

async function fetchRuns(
  connection: Connection,
  model: string,
  runs: readonly Run[],
  partial: string,
  signal: AbortSignal,
  onDone: (run: Run) => void,
): Promise<void> {
  const queue = [...runs].reverse();
  const stop = new AbortController();
  const combined = AbortSignal.any([signal, stop.signal]);
  const stream = async (): Promise<void> => {
    for (let run = queue.pop(); run !== undefined; run = queue.pop()) {
      await fetchRun(connection, model, run, partial, combined);
      onDone(run);
    }
  };
  const results = await Promise.allSettled(
    Array.from({ length: Math.min(STREAMS, queue.length) }, () =>
      stream().catch((error: unknown) => {
        stop.abort();
        throw error;
      }),
    ),
  );
  signal.throwIfAborted();
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (failures.length > 0) throw failures.find((error) => error instanceof TributaryError) ?? failures[0];
}

async function fetchRun(connection: Connection, model: string, run: Run, partial: string, signal: AbortSignal): Promise<void> {
  const first = run.chunks[0] as ArtifactChunk;
  const handle = await open(join(partial, run.file.path), 'r+');
  try {
    const request = { name: model, path: run.file.path, offset: BigInt(first.offset), lengthBytes: BigInt(bytesOf([run])) };
    const check = new RunCheck(run, connection.server);
    for await (const { offset, data } of connection.models.download(request, { signal })) {
      check.next(Number(offset), data);
      await writeFully(handle, data, Number(offset));
    }
    check.end();
  } finally {
    await handle.close();
  }
}

async function writeFully(handle: FileHandle, data: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < data.length) {
    const { bytesWritten } = await handle.write(data, written, data.length - written, position + written);
    written += bytesWritten;
  }
}

/** Follows the bytes of a run and checks each chunk's digest as it ends. */
class RunCheck {
  readonly #run: Run;
  readonly #server: string;
  #index = 0;
  #inChunk = 0;
  #hash = createHash('sha256');

  constructor(run: Run, server: string) {
    this.#run = run;
    this.#server = server;
  }

  next(offset: number, data: Uint8Array): void {
    let used = 0;
    while (used < data.length) {
      const chunk = this.#run.chunks[this.#index];
      if (chunk === undefined || offset + used !== chunk.offset + this.#inChunk) throw this.#broken('bytes that were not asked for');
      const take = Math.min(data.length - used, chunk.length - this.#inChunk);
      this.#hash.update(data.subarray(used, used + take));
      used += take;
      this.#inChunk += take;
      if (this.#inChunk === chunk.length) {
        const digest = this.#hash.digest('hex');
        if (digest !== chunk.digest) throw this.#broken(`a chunk with digest ${digest}`);
        this.#hash = createHash('sha256');
        this.#index++;
        this.#inChunk = 0;
      }
    }
  }

  end(): void {
    if (this.#index === this.#run.chunks.length) return;
    throw new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'A download ended early', where: this.#run.file.path });
  }

  #broken(got: string): TributaryError {
    return new TributaryError('DIGEST_MISMATCH', {
      what: 'The coordinator sent other bytes than its manifest names',
      where: `${this.#run.file.path} from ${this.#server}`,
      expected: this.#run.chunks[this.#index]?.digest,
      got,
      fix: 'Pull again; if it happens again the disk of the coordinator is damaged.',
    });
  }
}

/** A partial folder of another model may have left files that are not part of this one. */
async function removeStrangers(partial: string, artifact: Artifact): Promise<void> {
  const wanted = new Set([...artifact.files.map((file) => file.path), ORIGIN_FILE]);
  for (const entry of await readdir(partial, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(partial.length + 1);
    if (entry.isFile() && !wanted.has(path)) await rm(join(partial, path));
  }
}

function bytesOf(runs: readonly Run[]): number {
  return runs.reduce((sum, run) => sum + run.chunks.reduce((inRun, chunk) => inRun + chunk.length, 0), 0);
}
