/**
 * Reads a Write stream's bytes as they come: gRPC frames, in them WriteRequests. A chunk's bytes are handed on as slices of what the network
 * delivered; nothing is collected, because joining every message of 1 MiB costs more than receiving it. That needs `data` to be the last
 * field of its message, as every encoder we know writes it; a message with another order is legal and is collected and decoded whole.
 * Invariant: however the bytes are cut into pushes, the same pieces with the same data come out.
 */
import { ServerError, Status } from 'nice-grpc-common';
import { WriteRequest } from '../../shared/generated/tributary/v1/transfers.js';
import { FRAME_PREFIX_BYTES } from '../../shared/transfer/grpc-frame.js';
import { WRITE_DATA_TAG } from '../../shared/transfer/write-codec.js';

/** gRPC's own default for a message received. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** The fields before `data` take about 90 bytes; what is longer is decoded the slow way. */
const MAX_HEAD_BYTES = 1024;

export type WriteEvent =
  /** A request begins; `dataBytes` of data follow in `data` events. Its own `data` is empty. */
  | { readonly kind: 'request'; readonly request: WriteRequest; readonly dataBytes: number }
  | { readonly kind: 'data'; readonly data: Buffer };

const EMPTY = Buffer.alloc(0);

export class WriteFrames {
  #input: Buffer = EMPTY;
  /** Bytes of a prefix, head or whole message that did not come in one piece. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Undefined between messages. */
  #messageBytes: number | undefined;
  #whole = false;
  #dataLeft = 0;

  /** Call only after `next` gave undefined: the bytes of the push before are used up then. */
  push(bytes: Buffer): void {
    this.#input = bytes;
  }

  /** The next event, or undefined when more bytes are needed. @throws ServerError for what gRPC forbids */
  next(): WriteEvent | undefined {
    for (;;) {
      if (this.#dataLeft > 0) {
        if (this.#input.length === 0) return undefined;
        const data = this.#take(this.#dataLeft);
        this.#dataLeft -= data.length;
        return { kind: 'data', data };
      }
      if (this.#messageBytes === undefined) {
        const prefix = this.#collect(FRAME_PREFIX_BYTES);
        if (prefix === undefined) return undefined;
        this.#messageBytes = lengthOf(prefix);
        this.#whole = false;
      }
      const event = this.#whole ? this.#readWhole(this.#messageBytes) : this.#readHead(this.#messageBytes);
      if (event === 'more') return undefined;
      if (event !== 'whole') return event;
      this.#whole = true;
    }
  }

  /** Looks for `data` as the last field, in at most MAX_HEAD_BYTES. */
  #readHead(messageBytes: number): WriteEvent | 'more' | 'whole' {
    const wanted = Math.min(messageBytes, MAX_HEAD_BYTES);
    const missing = wanted - this.#heldBytes;
    const head = this.#heldBytes === 0 ? this.#input.subarray(0, wanted) : Buffer.concat([...this.#held, this.#input.subarray(0, missing)]);
    const found = findLastData(head, messageBytes);
    if (found === undefined) {
      if (head.length === wanted) return 'whole';
      this.#hold(this.#input.length);
      return 'more';
    }
    const request = decode(head.subarray(0, found.tagAt));
    this.#input = this.#input.subarray(found.dataAt - this.#heldBytes);
    this.#drop();
    this.#messageBytes = undefined;
    this.#dataLeft = messageBytes - found.dataAt;
    return { kind: 'request', request, dataBytes: this.#dataLeft };
  }

  #readWhole(messageBytes: number): WriteEvent | 'more' {
    const message = this.#collect(messageBytes);
    if (message === undefined) return 'more';
    const { data, ...request } = decode(message);
    this.#messageBytes = undefined;
    if (data.length > 0) {
      this.#input = this.#input.length === 0 ? asBuffer(data) : Buffer.concat([data, this.#input]);
      this.#dataLeft = data.length;
    }
    return { kind: 'request', request: { ...request, data: EMPTY }, dataBytes: data.length };
  }

  /** Exactly `count` bytes, or undefined until they are there. */
  #collect(count: number): Buffer | undefined {
    if (this.#heldBytes === 0 && this.#input.length >= count) return this.#take(count);
    this.#hold(Math.min(count - this.#heldBytes, this.#input.length));
    if (this.#heldBytes < count) return undefined;
    const bytes = Buffer.concat(this.#held);
    this.#drop();
    return bytes;
  }

  #take(limit: number): Buffer {
    const taken = this.#input.length <= limit ? this.#input : this.#input.subarray(0, limit);
    this.#input = taken === this.#input ? EMPTY : this.#input.subarray(limit);
    return taken;
  }

  #hold(count: number): void {
    if (count === 0) return;
    this.#held.push(this.#take(count));
    this.#heldBytes += count;
  }

  #drop(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }
}

function lengthOf(prefix: Buffer): number {
  if (prefix[0] !== 0) throw new ServerError(Status.UNIMPLEMENTED, 'Write takes no compressed messages');
  const length = prefix.readUInt32BE(1);
  if (length > MAX_MESSAGE_BYTES) {
    throw new ServerError(Status.RESOURCE_EXHAUSTED, `Received message larger than max (${length} vs ${MAX_MESSAGE_BYTES})`);
  }
  return length;
}

/** Where the field `data` begins if it ends with the message; undefined if it does not or cannot be seen yet. */
function findLastData(head: Buffer, messageBytes: number): { tagAt: number; dataAt: number } | undefined {
  let at = 0;
  while (at < head.length) {
    const tagAt = at;
    const tag = readVarint(head, at);
    if (tag === undefined) return undefined;
    const wire = tag.value % 8;
    if (tag.value < 8 || (wire !== 0 && wire !== 2)) return undefined;
    const value = readVarint(head, tag.end);
    if (value === undefined) return undefined;
    if (tag.value === WRITE_DATA_TAG) return value.end + value.value === messageBytes ? { tagAt, dataAt: value.end } : undefined;
    at = wire === 0 ? value.end : value.end + value.value;
  }
  return undefined;
}

/** Up to 32 bits; longer ones are no lengths or tags of ours. */
function readVarint(bytes: Buffer, start: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let at = start, scale = 1; at < bytes.length && at < start + 5; at++, scale *= 128) {
    const byte = bytes[at] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, end: at + 1 };
  }
  return undefined;
}

function decode(bytes: Uint8Array): WriteRequest {
  try {
    return WriteRequest.decode(bytes);
  } catch {
    throw new ServerError(Status.INTERNAL, 'Error deserializing request');
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
