/**
 * Clients of a front in a thread of their own: each has a connection, asks by random preferences, and notes how long an answer took. They speak gRPC over
 * bare HTTP/2: on two processors a gRPC library in 64 clients would be most of what is measured.
 */
import { type ClientHttp2Session, connect } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { ParetoServiceDefinition, QueryRequest, QueryResponse, Scalarisation } from '../../shared/generated/tributary/v1/pareto.js';
import { FRAME_PREFIX_BYTES, frameOf } from '../../shared/transfer/grpc-frame.js';
import { randomFrom } from '../support/checkpoints.js';

export interface QueryLoad {
  readonly server: string;
  readonly round: string;
  readonly tasks: number;
  readonly clients: number;
  /** Between two queries of a client; 0: the next one follows the answer. */
  readonly everyMs: number;
  readonly seconds: number;
}

export interface QueryTimes {
  readonly latenciesMs: readonly number[];
  readonly seconds: number;
}

const WARM_UP = 20;
const PATH = `/${ParetoServiceDefinition.fullName}/${ParetoServiceDefinition.methods.query.name}`;
/** @returns the answer's message; throws what the coordinator refuses */
async function call(session: ClientHttp2Session, frame: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers' });
    const parts: Buffer[] = [];
    let status: string | undefined;
    const note = (headers: { 'grpc-status'?: string | string[] | undefined }): void => {
      if (typeof headers['grpc-status'] === 'string') status = headers['grpc-status'];
    };
    stream.on('response', note).on('trailers', note).on('error', reject);
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => {
      if (status === '0') resolve(Buffer.concat(parts).subarray(FRAME_PREFIX_BYTES));
      else reject(new Error(`a query ended with gRPC status ${status}`));
    });
    stream.end(frame);
  });
}

async function ask(load: QueryLoad, client: number, latenciesMs: number[]): Promise<void> {
  const random = randomFrom(client + 1);
  const session = connect(`http://${load.server}`);
  const query = async (): Promise<number> => {
    const weights = Array.from({ length: load.tasks }, (_, task) => ({ task: `task${task}`, weight: random() }));
    const preference = { weights, scalarisation: Scalarisation.LINEAR };
    const request = QueryRequest.fromPartial({ round: load.round, by: { $case: 'preference', value: preference } });
    const frame = frameOf(QueryRequest.encode(request).finish());
    const startMs = performance.now();
    const answer = await call(session, frame);
    const tookMs = performance.now() - startMs;
    if (QueryResponse.decode(answer).point?.predicted.length !== load.tasks) throw new Error('a query came back without an answer');
    return tookMs;
  };
  try {
    for (let index = 0; index < WARM_UP; index++) await query();
    await sleep(random() * load.everyMs);
    const endMs = performance.now() + load.seconds * 1000;
    for (let dueMs = performance.now(); performance.now() < endMs; dueMs += load.everyMs) {
      if (load.everyMs > 0) await sleep(Math.max(0, dueMs - performance.now()));
      latenciesMs.push(await query());
    }
  } finally {
    session.close();
  }
}

const request = workerData as QueryLoad;
const latenciesMs: number[] = [];
await Promise.all(Array.from({ length: request.clients }, (_, client) => ask(request, client, latenciesMs)));
parentPort?.postMessage({ latenciesMs, seconds: request.seconds } satisfies QueryTimes);
