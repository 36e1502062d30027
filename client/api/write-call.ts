/**
 * The client's side of TransferService.Write, without the copies that gRPC libraries make of every message: a frame goes to HTTP/2 as it
 * lies in the sender's buffer. grpc-js frames messages in a filter at the bottom of each call; those that lie in their frame already pass
 * it unchanged. The version is pinned exactly, and a missing filter is an error at start.
 * Bytes given to a call must not change before the call ended or the coordinator answered the chunk they belong to.
 */
import { type Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import { type CompressionFilter, CompressionFilterFactory } from '@grpc/grpc-js/build/src/compression-filter.js';
import { TransferServiceDefinition, WriteResponse } from '../../shared/generated/tributary/v1/transfers.js';
import { decodeErrorTrailer, ERROR_TRAILER, fromBareStatus } from '../../shared/grpc/error-trailer.js';
import type { EncodedWrite } from '../../shared/transfer/write-codec.js';
import { AsyncQueue } from '../../shared/util/async-queue.js';

export type WriteCall = (
  requests: AsyncIterable<EncodedWrite>,
  options?: { readonly signal?: AbortSignal },
) => AsyncGenerator<WriteResponse>;

interface Target {
  readonly server: string;
  readonly token?: string | undefined;
}

const PATH = `/${TransferServiceDefinition.fullName}/${TransferServiceDefinition.methods.write.name}`;

/** Messages on their way to the filter, with the frame they lie in. */
const frames = new WeakMap<Buffer, Buffer>();

interface FilterFactory {
  createFilter: (this: FilterFactory) => CompressionFilter;
}

let filtered = false;

function passFrames(): void {
  if (filtered) return;
  const prototype = CompressionFilterFactory.prototype as unknown as FilterFactory;
  const original = prototype.createFilter;
  if (typeof original !== 'function') throw new Error('@grpc/grpc-js has changed: CompressionFilterFactory is gone; see write-call.ts');
  prototype.createFilter = function (this: FilterFactory) {
    const filter = original.call(this);
    const sendMessage = filter.sendMessage.bind(filter);
    filter.sendMessage = async (promise) => {
      const sent = await promise;
      const frame = frames.get(sent.message);
      return frame === undefined ? sendMessage(Promise.resolve(sent)) : { ...sent, message: frame };
    };
    return filter;
  };
  filtered = true;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function serialize({ encoded, frame }: EncodedWrite): Buffer {
  const message = asBuffer(encoded);
  if (frame !== undefined) frames.set(message, asBuffer(frame));
  return message;
}

/** Every error of the coordinator leaves the generator as a TributaryError, and only after all answers that came before it. */
export function createWriteCall(client: Client, target: Target): WriteCall {
  passFrames();
  return async function* write(requests, { signal } = {}) {
    signal?.throwIfAborted();
    const metadata = new Metadata();
    if (target.token !== undefined) metadata.set('authorization', `Bearer ${target.token}`);
    const call = client.makeBidiStreamRequest<EncodedWrite, WriteResponse>(
      PATH,
      serialize,
      (bytes) => WriteResponse.decode(bytes),
      metadata,
    );
    const answers = new AsyncQueue<WriteResponse>();
    let refused: ServiceError | undefined;
    let over = false;
    let wake: (() => void) | undefined;
    call.on('data', (answer: WriteResponse) => answers.push(answer));
    call.on('error', (error: ServiceError) => {
      refused = error;
    });
    call.on('end', () => (refused === undefined ? answers.end() : answers.fail(translate(refused, target.server))));
    call.on('status', () => {
      over = true;
      wake?.();
    });
    call.on('drain', () => wake?.());
    const send = async (): Promise<void> => {
      for await (const request of requests) {
        if (over) return;
        if (call.write(request)) continue;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      call.end();
    };
    const cancel = (): void => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    send().catch((error: unknown) => {
      answers.fail(error);
      cancel();
    });
    try {
      yield* answers;
    } finally {
      over = true;
      wake?.();
      signal?.removeEventListener('abort', cancel);
      cancel();
      signal?.throwIfAborted();
    }
  };
}

function translate(error: ServiceError, server: string): unknown {
  const [trailer] = error.metadata.get(ERROR_TRAILER);
  return trailer instanceof Buffer ? decodeErrorTrailer(trailer) : fromBareStatus(error.code, error.details, server);
}
