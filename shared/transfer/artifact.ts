/**
 * An artifact is a set of files with the SHA-256 of every chunk: what a push describes and what the coordinator stores.
 * The encoded manifest is its transport form; this module is the one place that reads and writes it.
 * Invariant: a decoded artifact is consistent (every chunk has a digest, every tensor lies in whole chunks of its own).
 */
import { createHash } from 'node:crypto';
import { TributaryError } from '../errors/tributary-error.js';
import { parseSafetensorsHeader } from '../formats/safetensors-header.js';
import type { TensorInfo } from '../formats/tensor.js';
import { Manifest, type ManifestFile } from '../generated/tributary/v1/manifest.js';
import { fromHex, toHex } from '../util/hex.js';
import { checkContents, checkPath, invalidManifest as invalid } from './artifact-checks.js';
import { ARTIFACT_FORMS, type ArtifactForm, fromArtifactKind, toArtifactKind } from './artifact-kind.js';
import { type ByteRange, cutRange, DIGEST_BYTES } from './chunk-layout.js';
import { compareStrings, digestOfWeights } from './weights-digest.js';

const FORMAT_VERSION = 1;

/** Key of safetensors `__metadata__` under which a checkpoint names the weights digest of its base. */
export const BASE_DIGEST_KEY = 'tributary.base_digest';

/** 16 MiB of manifest describe about 2 TB of weights; more is a mistake or an attack. */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;

/** Files of one artifact; Hugging Face folders have tens, large shardings some hundreds. */
const MAX_FILES = 10_000;

export interface ArtifactChunk extends ByteRange {
  /** Lower-case hex SHA-256. */
  readonly digest: string;
}

export interface ArtifactTensor extends TensorInfo {
  readonly sizeBytes: number;
  readonly chunks: readonly ArtifactChunk[];
}

export interface ArtifactFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Present in weight files: the bytes before the first tensor. */
  readonly header?: Uint8Array;
  /** The whole file, where the manifest holds it. */
  readonly content?: Uint8Array;
  /** In file order; in a weight file they cover everything after the header; none where there is content. */
  readonly chunks: readonly ArtifactChunk[];
}

export interface Artifact {
  readonly kind: ArtifactForm;
  readonly files: readonly ArtifactFile[];
  readonly tensors: ReadonlyMap<string, ArtifactTensor>;
  /** safetensors `__metadata__`, all weight files together. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Hex SHA-256 of the encoded manifest. */
  readonly manifestDigest: string;
  /** Hex SHA-256 over the sorted tensors: name, dtype, shape, chunk digests. Independent of file layout. */
  readonly weightsDigest: string;
  /** Bytes of all files. */
  readonly totalBytes: number;
}

/** A file to describe: its layout, and the digests of its chunks in order. */
export interface DescribedFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly header?: Uint8Array;
  /** The whole file, to be in the manifest itself; there are no digests then. */
  readonly content?: Uint8Array;
  readonly digests: readonly Uint8Array[];
}

/** The chunk ranges of a file, from its header if it is a weight file. */
export function chunkRangesOf(path: string, sizeBytes: number, header: Uint8Array | undefined): ByteRange[] {
  if (header === undefined) return cutRange(0, sizeBytes);
  return parseHeader(path, sizeBytes, header).tensors.flatMap((tensor) => cutRange(tensor.offset, tensor.sizeBytes));
}

/** Encodes the manifest of an artifact. The same files always give the same bytes. */
export function encodeManifest(kind: ArtifactForm, files: readonly DescribedFile[]): Uint8Array {
  const sorted = [...files].sort((a, b) => compareStrings(a.path, b.path));
  return Manifest.encode({
    formatVersion: FORMAT_VERSION,
    kind: toArtifactKind(kind),
    files: sorted.map((file) => ({
      path: file.path,
      sizeBytes: BigInt(file.sizeBytes),
      safetensorsHeader: file.header ?? new Uint8Array(0),
      chunkDigests: concatBytes(file.digests),
      content: file.content ?? new Uint8Array(0),
    })),
  }).finish();
}

/** Decodes and checks a manifest from an untrusted sender. Throws MANIFEST_INVALID, or a safetensors code for its headers. */
export function decodeManifest(bytes: Uint8Array, where: string): Artifact {
  let manifest: Manifest;
  try {
    manifest = Manifest.decode(bytes);
  } catch (error) {
    throw invalid(where, 'The manifest is not a tributary.v1.Manifest', { cause: error });
  }
  if (manifest.formatVersion !== FORMAT_VERSION) {
    throw invalid(where, 'The manifest has an unknown format version', { expected: `${FORMAT_VERSION}`, got: `${manifest.formatVersion}` });
  }
  const kind = fromArtifactKind(manifest.kind);
  if (kind === undefined) {
    throw invalid(where, 'The manifest has an unknown artifact kind', { expected: ARTIFACT_FORMS.join(', '), got: `${manifest.kind}` });
  }
  if (manifest.files.length === 0 || manifest.files.length > MAX_FILES) {
    throw invalid(where, 'The manifest has a wrong number of files', { expected: `1 to ${MAX_FILES}`, got: `${manifest.files.length}` });
  }
  const files: ArtifactFile[] = [];
  const tensors = new Map<string, ArtifactTensor>();
  const metadata = new Map<string, string>();
  let previousPath = '';
  for (const file of manifest.files) {
    checkPath(file.path, previousPath, where);
    previousPath = file.path;
    files.push(decodeFile(file, where, tensors, metadata));
  }
  checkContents(kind, files, where);
  if (tensors.size === 0) throw invalid(where, 'The manifest describes no tensor', {});
  return {
    kind,
    files,
    tensors,
    metadata,
    manifestDigest: createHash('sha256').update(bytes).digest('hex'),
    weightsDigest: digestOfWeights(
      [...tensors.values()].map((tensor) => ({ info: tensor, chunkDigests: tensor.chunks.map((chunk) => fromHex(chunk.digest)) })),
    ),
    totalBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
  };
}

function decodeFile(file: ManifestFile, where: string, tensors: Map<string, ArtifactTensor>, metadata: Map<string, string>): ArtifactFile {
  const at = `${where}: ${file.path}`;
  const sizeBytes = Number(file.sizeBytes);
  if (!Number.isSafeInteger(sizeBytes)) throw invalid(at, 'A file size is out of range', { got: `${file.sizeBytes}` });
  const isWeights = file.safetensorsHeader.length > 0;
  const header = isWeights ? parseHeader(at, sizeBytes, file.safetensorsHeader) : undefined;
  if (file.content.length > 0) {
    if (isWeights || file.content.length !== sizeBytes || file.chunkDigests.length > 0)
      throw invalid(at, 'The content of a file does not fit the file', { expected: `${sizeBytes} bytes`, got: `${file.content.length}` });
    return { path: file.path, sizeBytes, content: file.content, chunks: [] };
  }
  const ranges =
    header === undefined ? cutRange(0, sizeBytes) : header.tensors.flatMap((tensor) => cutRange(tensor.offset, tensor.sizeBytes));
  if (file.chunkDigests.length !== ranges.length * DIGEST_BYTES) {
    throw invalid(at, 'The number of chunk digests does not fit the file', {
      expected: `${ranges.length} digests`,
      got: `${file.chunkDigests.length / DIGEST_BYTES}`,
    });
  }
  const chunks = ranges.map((range, index) => ({
    ...range,
    digest: toHex(file.chunkDigests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES)),
  }));
  if (header !== undefined) {
    for (const [key, value] of header.metadata) metadata.set(key, value);
    let next = 0;
    for (const tensor of header.tensors) {
      const count = cutRange(0, tensor.sizeBytes).length;
      if (tensors.has(tensor.name)) {
        throw new TributaryError('SAFETENSORS_DUPLICATE_NAME', { what: `Two weight files hold the tensor ${tensor.name}`, where: at });
      }
      tensors.set(tensor.name, {
        name: tensor.name,
        dtype: tensor.dtype,
        shape: tensor.shape,
        sizeBytes: tensor.sizeBytes,
        chunks: chunks.slice(next, next + count),
      });
      next += count;
    }
  }
  return { path: file.path, sizeBytes, chunks, ...(isWeights ? { header: file.safetensorsHeader } : {}) };
}

/** Every chunk of the artifact once, by digest, with its length in bytes. */
export function uniqueChunks(artifact: Artifact): Map<string, number> {
  const chunks = new Map<string, number>();
  for (const file of artifact.files) for (const chunk of file.chunks) chunks.set(chunk.digest, chunk.length);
  return chunks;
}

function parseHeader(where: string, fileSizeBytes: number, header: Uint8Array): ReturnType<typeof parseSafetensorsHeader> {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const declared = header.length >= 8 ? view.getBigUint64(0, true) : -1n;
  if (declared !== BigInt(header.length - 8)) {
    throw invalid(where, 'The header length does not fit the header', { expected: `${header.length - 8}`, got: `${declared}` });
  }
  return parseSafetensorsHeader(header.subarray(8), { fileSizeBytes, where });
}

function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
