/**
 * GetFront and Query from the HTTP/2 stream itself. They are answered from memory, and the same answers are sent again and again: these are
 * encoded once, and go out as they lie. A caller that compresses gets the same from service.ts.
 */
import { Front, GetFrontRequest, QueryRequest, QueryResponse } from '../../shared/generated/tributary/v1/pareto.js';
import { frameOf } from '../../shared/transfer/grpc-frame.js';
import { requireToken } from '../grpc/identity.js';
import type { RawCall } from '../grpc/raw-call.js';
import type { Services } from '../services.js';
import { answerQuery, getFront } from './service.js';

/** Frames of messages that are not changed once they are sent; they live as long as the message does. */
function frames<Message extends object>(encode: (message: Message) => { finish(): Uint8Array }): (message: Message) => Buffer {
  const known = new WeakMap<Message, Buffer>();
  return (message) => {
    let frame = known.get(message);
    if (frame === undefined) known.set(message, (frame = frameOf(encode(message).finish())));
    return frame;
  };
}

const frontFrame = frames<Front>((message) => Front.encode(message));
const queryFrame = frames<QueryResponse>((message) => QueryResponse.encode(message));

export async function sendFront(services: Services, call: RawCall): Promise<void> {
  requireToken(services.config, call.token, '');
  const { round } = await call.receiveOnly((bytes) => GetFrontRequest.decode(bytes));
  void call.sendFrame(frontFrame(getFront(services, round)));
}

export async function sendQuery(services: Services, call: RawCall): Promise<void> {
  requireToken(services.config, call.token, '');
  const request = await call.receiveOnly((bytes) => QueryRequest.decode(bytes));
  void call.sendFrame(queryFrame(answerQuery(services, request)));
}
