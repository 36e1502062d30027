/**
 * ModelService.Download: a range of a model's file from its header and chunks. Pieces are read from the disk to where they are sent from,
 * in two buffers that take turns, so that a download costs little memory however slow its reader is.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { DownloadRequest } from '../../shared/generated/tributary/v1/models.js';
import type { ArtifactFile } from '../../shared/transfer/artifact.js';
import { DOWNLOAD_HEADER_BYTES, frameDownload } from '../../shared/transfer/download-codec.js';
import { requireToken } from '../grpc/identity.js';
import type { RawCall } from '../grpc/raw-call.js';
import type { Services } from '../services.js';
import { type PieceReader, type Referred, resolveReference } from './resolve-reference.js';

/** Bytes of one answer: below gRPC's 4 MiB default, and large enough that per-message costs vanish. */
const PIECE_BYTES = 1024 * 1024;

interface Piece {
  readonly position: number;
  readonly length: number;
  read(into: Uint8Array): Promise<void>;
}

export async function download(services: Services, call: RawCall): Promise<void> {
  requireToken(services.config, call.token, '');
  const request = await call.receiveOnly((bytes) => DownloadRequest.decode(bytes));
  const referred = await resolveReference(services, request.name);
  try {
    await sendRange(services, call, request, referred);
  } finally {
    referred.release();
  }
}

async function sendRange(
  services: Services,
  call: RawCall,
  request: DownloadRequest,
  { row, artifact, reader: open }: Referred,
): Promise<void> {
  const file = artifact.files.find((candidate) => candidate.path === request.path);
  if (file === undefined) throw new TributaryError('FILE_NOT_FOUND', { what: `${row.name} has no file ${request.path}` });
  const start = Number(request.offset);
  const end = request.lengthBytes === 0n ? file.sizeBytes : Math.min(file.sizeBytes, start + Number(request.lengthBytes));
  const reader = open();
  const buffers = [0, 1].map(() => Buffer.allocUnsafeSlow(DOWNLOAD_HEADER_BYTES + PIECE_BYTES));
  const sent: Promise<void>[] = [];
  let turn = 0;
  try {
    for (const piece of piecesOf(file, start, end, reader)) {
      turn = 1 - turn;
      await sent[turn];
      const buffer = buffers[turn] as Buffer;
      await piece.read(buffer.subarray(DOWNLOAD_HEADER_BYTES, DOWNLOAD_HEADER_BYTES + piece.length));
      call.signal.throwIfAborted();
      sent[turn] = call.sendFrame(frameDownload(piece.position, buffer, piece.length));
      services.metrics.servedBytes.inc(piece.length);
    }
    await Promise.all(sent);
  } finally {
    await reader.close();
  }
}

/** Bytes `[start, end)` of a file, in order; a piece lies in the header or in one chunk. */
function* piecesOf(file: ArtifactFile, start: number, end: number, reader: PieceReader): Generator<Piece> {
  let position = start;
  const header = file.header ?? file.content ?? new Uint8Array(0);
  for (; position < Math.min(header.length, end); position += PIECE_BYTES) {
    const data = header.subarray(position, Math.min(header.length, end, position + PIECE_BYTES));
    yield { position, length: data.length, read: async (into) => into.set(data) };
  }
  position = Math.max(start, Math.min(header.length, end));
  for (let index = firstChunkEndingAfter(file, position); position < end; ) {
    const chunk = file.chunks[index];
    if (chunk === undefined) return;
    const inChunk = position - chunk.offset;
    const length = Math.min(chunk.length - inChunk, end - position, PIECE_BYTES);
    yield { position, length, read: (into) => reader.read(file, chunk, inChunk, into) };
    position += length;
    if (position === chunk.offset + chunk.length) index++;
  }
}

function firstChunkEndingAfter(file: ArtifactFile, position: number): number {
  let low = 0;
  let high = file.chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const chunk = file.chunks[middle];
    if (chunk !== undefined && chunk.offset + chunk.length <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}
