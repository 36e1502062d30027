/** Write as other languages meet it: a stock grpc-js client with the generated codec, and bytes by hand on HTTP/2. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { join } from 'node:path';
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DescribedArtifact } from '../../client/push/describe.js';
import { ErrorInfo } from '../../shared/generated/tributary/v1/common.js';
import { ChunkState, TransferServiceDefinition, WriteRequest, WriteResponse } from '../../shared/generated/tributary/v1/transfers.js';
import { uniqueChunks } from '../../shared/transfer/artifact.js';
import { frameOf } from '../../shared/transfer/grpc-frame.js';
import { toHex } from '../../shared/util/hex.js';
import { FEW_CHUNKS, fineTune, makeBase, writeSingle } from '../support/checkpoints.js';
import { eventually } from '../support/eventually.js';
import {
  baseTarget,
  begin,
  chunkBytes,
  describeForTest,
  findMissing,
  type InProcess,
  pieces,
  startInProcess,
} from '../support/raw-transfer.js';
import { tempDir } from '../support/temp-dir.js';

const PATH = `/${TransferServiceDefinition.fullName}/${TransferServiceDefinition.methods.write.name}`;
const TOKEN = 'a-secret-of-alice';
const BEARER = { authorization: `Bearer ${TOKEN}` };

const folder = tempDir();
let running: InProcess;
let described: DescribedArtifact;
let uploadId = '';
let missing: string[] = [];
let client: Client;
let session: ClientHttp2Session;

beforeAll(async () => {
  running = await startInProcess(folder, { tokens: { alice: TOKEN } }, TOKEN);
  described = await describeForTest(writeSingle(join(folder, 'base'), fineTune(makeBase(1, FEW_CHUNKS), 5)));
  ({ uploadId } = await begin(running.connection, described, baseTarget('base')));
  missing = await findMissing(running.connection, uploadId);
  client = new Client(`127.0.0.1:${running.coordinator.grpcPort}`, credentials.createInsecure());
  session = connect(`http://127.0.0.1:${running.coordinator.grpcPort}`);
});

afterAll(async () => {
  client.close();
  session.destroy();
  await running.close();
});

function open(token: string | undefined = TOKEN, deadlineMs?: number): ClientDuplexStream<WriteRequest, WriteResponse> {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  const serialize = (request: WriteRequest): Buffer => Buffer.from(WriteRequest.encode(request).finish());
  const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
  return client.makeBidiStreamRequest(PATH, serialize, (bytes) => WriteResponse.decode(bytes), metadata, options);
}

/** Everything a call gave: its answers and how it ended. */
async function end(call: ClientDuplexStream<WriteRequest, WriteResponse>): Promise<{ answers: WriteResponse[]; error?: ServiceError }> {
  const answers: WriteResponse[] = [];
  call.on('data', (answer: WriteResponse) => answers.push(answer));
  let error: ServiceError | undefined;
  call.on('error', (reason: ServiceError) => {
    error = reason;
  });
  await new Promise((resolve) => call.on('status', resolve));
  await new Promise((resolve) => setImmediate(resolve));
  return error === undefined ? { answers } : { answers, error };
}

function codeOf(error: ServiceError | undefined): string {
  const [trailer] = error?.metadata.get('tributary-error-bin') ?? [];
  return trailer instanceof Buffer ? ErrorInfo.decode(trailer).code : '';
}

interface RawEnd {
  readonly httpStatus: unknown;
  readonly grpcStatus: unknown;
  readonly message: string;
  readonly answers: number;
}

/** Sends bytes as they are and reports status and trailers. */
async function raw(bytes: readonly Buffer[], headers: Readonly<Record<string, string>> = {}): Promise<RawEnd> {
  const all = { ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers', ...BEARER, ...headers };
  const stream = session.request(all, { endStream: false });
  let httpStatus: unknown;
  let trailers: Record<string, string | string[] | number | undefined> = {};
  const parts: Buffer[] = [];
  stream.on('response', (response) => {
    httpStatus = response[':status'];
    trailers = { ...response };
  });
  stream.on('trailers', (received) => {
    trailers = { ...received };
  });
  stream.on('data', (part: Buffer) => parts.push(part));
  for (const part of bytes) {
    stream.write(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  stream.end();
  await new Promise((resolve) => stream.on('close', resolve));
  const answer = Buffer.concat(parts);
  let answers = 0;
  for (let at = 0; at < answer.length; at += 5 + answer.readUInt32BE(at + 1)) answers++;
  return { httpStatus, grpcStatus: trailers['grpc-status'], message: decodeURI(`${trailers['grpc-message']?.toString() ?? ''}`), answers };
}

const request = (digest: string): WriteRequest => pieces(uploadId, digest, chunkBytes(described, digest))[0] as WriteRequest;

function largest(): string {
  const sizes = uniqueChunks(described.artifact);
  return [...missing].sort((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0))[0] as string;
}

describe('a stock grpc-js client', () => {
  test('gets the errors of calls that make no sense, in status and trailer', async () => {
    const wrongToken = open('not-the-token');
    const unknown = open();
    unknown.write({ ...request(missing[0] as string), uploadId: 'nobody' });
    const noData = open();
    noData.write({ ...request(missing[0] as string), data: new Uint8Array(0) });
    const tooLarge = open();
    tooLarge.write({ ...request(missing[0] as string), data: new Uint8Array(4 * 1024 * 1024 + 1) });
    const ends = await Promise.all([wrongToken, unknown, noData, tooLarge, open('')].map(end));
    expect(ends.map(({ error }) => error?.code)).toEqual([
      status.UNAUTHENTICATED,
      status.NOT_FOUND,
      status.INVALID_ARGUMENT,
      status.RESOURCE_EXHAUSTED,
      status.UNAUTHENTICATED,
    ]);
    expect(ends.map(({ error }) => codeOf(error))).toEqual([
      'UNAUTHENTICATED',
      'UPLOAD_NOT_FOUND',
      'MANIFEST_INVALID',
      '',
      'UNAUTHENTICATED',
    ]);
    expect(ends[1]?.error?.details).toMatch(/^UPLOAD_NOT_FOUND: There is no such upload, or it expired \[nobody\]/);
    expect(ends[3]?.error?.details).toMatch(/larger than max/);
  });

  test('is cut off at its deadline', async () => {
    const call = open(TOKEN, 200);
    call.write(request(largest()));
    const { answers, error } = await end(call);
    expect(answers).toEqual([]);
    expect(error?.code).toBe(status.DEADLINE_EXCEEDED);
  });

  test('cancels in the middle of a chunk and leaves nothing behind', async () => {
    const call = open();
    call.write(request(largest()));
    await new Promise((resolve) => setTimeout(resolve, 100));
    call.cancel();
    expect((await end(call)).error?.code).toBe(status.CANCELLED);
    await eventually('the stream is over', async () => {
      const text = await (await fetch(`http://127.0.0.1:${running.coordinator.httpPort}/metrics`)).text();
      return /^tributary_open_write_streams 0$/m.test(text) ? true : undefined;
    });
  });

  test('sends chunks in messages of any size, and every one is answered once', async () => {
    const call = open();
    const done = end(call);
    for (const [index, digest] of missing.entries()) {
      for (const piece of pieces(uploadId, digest, chunkBytes(described, digest), index % 2 === 0 ? 50_000 : 3_000_000)) {
        if (!call.write(piece)) await new Promise((resolve) => call.once('drain', resolve));
      }
    }
    call.end();
    const { answers, error } = await done;
    expect(error).toBe(undefined);
    expect(answers.map(({ digest }) => toHex(digest)).sort()).toEqual([...missing].sort());
    expect(new Set(answers.map(({ state }) => state))).toEqual(new Set([ChunkState.DURABLE]));
    expect(await findMissing(running.connection, uploadId)).toEqual([]);
    const text = await (await fetch(`http://127.0.0.1:${running.coordinator.httpPort}/metrics`)).text();
    for (const name of ['OK', 'NOT_FOUND', 'RESOURCE_EXHAUSTED']) {
      expect(text.includes(`tributary_rpc_seconds_count{method="TransferService/Write",status="${name}"}`), name).toBe(true);
    }
  });
});

describe('bytes by hand', () => {
  test('fields in another order, in fragments, are answered like any other', async () => {
    const digest = missing[0] as string;
    const { data, ...fields } = request(digest);
    const rest = Buffer.from(WriteRequest.encode({ ...fields, data: Buffer.alloc(0) }).finish());
    const lead = Buffer.from(WriteRequest.encode({ ...WriteRequest.decode(Buffer.alloc(0)), data }).finish());
    const frame = frameOf(Buffer.concat([lead, rest]));
    const whole = pieces(uploadId, digest, chunkBytes(described, digest)).slice(1);
    const line = Buffer.concat([frame, ...whole.map((piece) => frameOf(WriteRequest.encode(piece).finish()))]);
    const fragments = [0, 3, 7, 60, 200, 5000].map((at, index, all) => line.subarray(at, all[index + 1] ?? line.length));
    expect(await raw(fragments)).toEqual({ httpStatus: 200, grpcStatus: '0', message: '', answers: 1 });
  });

  test('a compressed message, a broken one, and one too large are refused', async () => {
    const flagged = frameOf(WriteRequest.encode(request(missing[0] as string)).finish());
    flagged[0] = 1;
    expect(await raw([flagged])).toMatchObject({ httpStatus: 200, grpcStatus: String(status.UNIMPLEMENTED) });
    expect(await raw([frameOf(Buffer.from([0x0a, 0x7f, 1]))])).toMatchObject({ grpcStatus: String(status.INTERNAL) });
    expect(await raw([Buffer.from([0, 0x7f, 0, 0, 0])])).toMatchObject({ grpcStatus: String(status.RESOURCE_EXHAUSTED) });
  });

  test('a stream without messages, and one that ends inside of a frame', async () => {
    expect(await raw([])).toEqual({ httpStatus: 200, grpcStatus: '0', message: '', answers: 0 });
    const frame = frameOf(WriteRequest.encode(request(largest())).finish());
    expect(await raw([frame.subarray(0, 4)])).toMatchObject({ grpcStatus: '0', answers: 0 });
    expect(await raw([frame.subarray(0, 5000)])).toMatchObject({ grpcStatus: '0', answers: 0 });
  });

  test('another content type is none of our business', async () => {
    expect(await raw([], { 'content-type': 'text/plain' })).toMatchObject({ httpStatus: 415 });
  });
});

test('the coordinator stops while a stream is idle and while a chunk is open', async () => {
  const other = await startInProcess(join(folder, 'stopping'));
  const begun = await begin(other.connection, described, baseTarget('base'));
  const stranger = new Client(`127.0.0.1:${other.coordinator.grpcPort}`, credentials.createInsecure());
  const serialize = (each: WriteRequest): Buffer => Buffer.from(WriteRequest.encode(each).finish());
  const calls = [0, 1].map(() => stranger.makeBidiStreamRequest(PATH, serialize, (bytes) => WriteResponse.decode(bytes), new Metadata()));
  calls[1]?.write({ ...request(largest()), uploadId: begun.uploadId });
  const ends = calls.map(end);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const startedMs = performance.now();
  await other.close();
  expect(performance.now() - startedMs).toBeLessThan(5000);
  for (const { error } of await Promise.all(ends)) expect(error?.code).toBe(status.UNAVAILABLE);
  stranger.close();
});
