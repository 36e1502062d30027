/** The transfer protocol by hand: single calls with whatever content a test wants. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { type Connection, connect } from '../../client/api/connection.js';
import { type DescribedArtifact, describeFolder } from '../../client/push/describe.js';
import { loadConfig } from '../../coordinator/config.js';
import { type Coordinator, startCoordinator } from '../../coordinator/coordinator.js';
import {
  type BeginHeader,
  type BeginRequest,
  type BeginResponse,
  WriteRequest,
  type WriteResponse,
} from '../../shared/generated/tributary/v1/transfers.js';
import type { ContributionKind } from '../../shared/merge/types.js';
import type { EncodedWrite } from '../../shared/transfer/write-codec.js';
import { fromHex, toHex } from '../../shared/util/hex.js';

export interface InProcess {
  readonly coordinator: Coordinator;
  readonly connection: Connection;
  readonly dataDir: string;
  close(): Promise<void>;
}

export async function startInProcess(folder: string, flags: Readonly<Record<string, unknown>> = {}, token?: string): Promise<InProcess> {
  const dataDir = join(folder, 'data');
  mkdirSync(dataDir, { recursive: true });
  const config = loadConfig({
    environment: {},
    flags: { data: dataDir, listen: '127.0.0.1:0', http: '127.0.0.1:0', threads: 1, ...flags },
  });
  const coordinator = await startCoordinator(config, pino({ level: 'silent' }));
  const connection = connect({ server: `127.0.0.1:${coordinator.grpcPort}`, token });
  return {
    coordinator,
    connection,
    dataDir,
    close: async () => {
      connection.close();
      await coordinator.close(100);
    },
  };
}

export async function describeForTest(folder: string, kind: ContributionKind = 'full'): Promise<DescribedArtifact> {
  return describeFolder(folder, { kind, threads: 1, cache: undefined, signal: new AbortController().signal, onProgress: () => {} });
}

export function baseTarget(name: string): BeginHeader['target'] {
  return { $case: 'base', value: { name } };
}

export function contributionTarget(round: string, contributor: string, baseDigest = ''): BeginHeader['target'] {
  return { $case: 'contribution', value: { round, contributor, baseDigest, samples: undefined, steps: undefined } };
}

export async function begin(connection: Connection, described: DescribedArtifact, target: BeginHeader['target']): Promise<BeginResponse> {
  return connection.transfers.begin(beginRequests(described.manifest, fromHex(described.artifact.manifestDigest), target));
}

export async function* beginRequests(
  manifest: Uint8Array,
  digest: Uint8Array,
  target: BeginHeader['target'],
): AsyncGenerator<BeginRequest> {
  yield { part: { $case: 'header', value: { target, manifestDigest: digest } } };
  for (let offset = 0; offset < manifest.length; offset += 1 << 20) {
    yield { part: { $case: 'manifestPart', value: manifest.subarray(offset, offset + (1 << 20)) } };
  }
}

export async function findMissing(connection: Connection, uploadId: string): Promise<string[]> {
  const digests: string[] = [];
  for await (const page of connection.transfers.findMissing({ uploadId })) {
    for (let offset = 0; offset < page.digests.length; offset += 32) digests.push(toHex(page.digests.subarray(offset, offset + 32)));
  }
  return digests;
}

export function chunkBytes(described: DescribedArtifact, digest: string): Buffer {
  const source = described.sources.get(digest);
  if (source === undefined) throw new Error(`no chunk ${digest}`);
  return readFileSync(source.path).subarray(source.offset, source.offset + source.length);
}

/** The requests that send one chunk; `bytes` may be damaged ones. */
export function pieces(uploadId: string, digest: string, bytes: Uint8Array, pieceBytes = 1 << 20): WriteRequest[] {
  const requests: WriteRequest[] = [];
  for (let offset = 0; offset < bytes.length; offset += pieceBytes) {
    const data = bytes.subarray(offset, offset + pieceBytes);
    requests.push({ uploadId, digest: fromHex(digest), sizeBytes: bytes.length, offset, data });
  }
  return requests;
}

export function encodeWrite(request: WriteRequest): EncodedWrite {
  return { encoded: WriteRequest.encode(request).finish() };
}

/** One Write stream: sends the requests, ends it, and returns the answers as `digest -> state`. */
export async function writeAll(connection: Connection, requests: readonly WriteRequest[]): Promise<Map<string, WriteResponse['state']>> {
  async function* stream(): AsyncGenerator<EncodedWrite> {
    for (const request of requests) yield encodeWrite(request);
  }
  const answers = new Map<string, WriteResponse['state']>();
  for await (const answer of connection.transfers.write(stream())) answers.set(toHex(answer.digest), answer.state);
  return answers;
}

/** Sends everything that is missing, one chunk after another. */
export async function sendMissing(connection: Connection, described: DescribedArtifact, uploadId: string): Promise<number> {
  const missing = await findMissing(connection, uploadId);
  await writeAll(
    connection,
    missing.flatMap((digest) => pieces(uploadId, digest, chunkBytes(described, digest))),
  );
  return missing.length;
}
