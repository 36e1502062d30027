/**
 * Long lines: HTTP/2 lets a sender have no more on its way than the receiver's window, and the default of 64 KiB is 1.6 MB/s at 40 ms
 * whatever the bandwidth. No times are asserted: only what the two ends allow one another, and how much is on its way at once.
 */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '../../client/api/connection.js';
import { pull } from '../../client/pull/pull.js';
import { push } from '../../client/push/push.js';
import { makeBase, writeSingle } from '../support/checkpoints.js';
import { startDelayProxy } from '../support/delay-proxy.js';
import { baseTarget, describeForTest, type InProcess, startInProcess } from '../support/raw-transfer.js';
import { tempDir } from '../support/temp-dir.js';

const MEBI = 1024 * 1024;
const DEFAULT_WINDOW_BYTES = 65_535;
const ONE_WAY_MS = 20;

const folder = tempDir();
let running: InProcess;

beforeAll(async () => {
  running = await startInProcess(folder);
});

afterAll(async () => {
  await running.close();
});

test('the coordinator announces windows for long lines', async () => {
  const session = connectHttp2(`http://127.0.0.1:${running.coordinator.grpcPort}`);
  const [settings] = (await once(session, 'remoteSettings')) as [{ initialWindowSize: number }];
  expect(settings.initialWindowSize).toBeGreaterThanOrEqual(4 * MEBI);
  // The connection's window is widened right after the settings.
  for (let turn = 0; turn < 100 && (session.state.remoteWindowSize ?? 0) < 8 * MEBI; turn++) await sleep(20);
  expect(session.state.remoteWindowSize).toBeGreaterThanOrEqual(8 * MEBI);
  session.destroy();
});

test('over 40 ms a push and a pull have far more than 64 KiB on their way', async () => {
  const described = await describeForTest(writeSingle(join(folder, 'model'), makeBase(1)));
  const flight = { upload: inFlight(), download: inFlight() };
  const line = await startDelayProxy({
    targetPort: running.coordinator.grpcPort,
    oneWayDelayMs: ONE_WAY_MS,
    onUpload: flight.upload.saw,
    onDownload: flight.download.saw,
  });
  const connection = connect({ server: line.address });
  const patience = {
    withoutProgressMs: 10_000,
    signal: AbortSignal.timeout(50_000),
    onRetry: (error: Error) => expect.unreachable(error.message),
  };
  try {
    await push(connection, described, { target: baseTarget('model'), patience, onProgress: () => {}, onVerifying: () => {} });
    expect(flight.upload.most()).toBeGreaterThan(50 * DEFAULT_WINDOW_BYTES);
    const report = await pull(connection, { name: 'model', outDir: join(folder, 'out'), threads: 1, patience, onProgress: () => {} });
    expect(report.savedBytes).toBe(0);
    expect(flight.download.most()).toBeGreaterThan(50 * DEFAULT_WINDOW_BYTES);
  } finally {
    connection.close();
    await line.close();
  }
});

/** The most bytes that entered the line within one round trip: a window of W never lets more than W through. */
function inFlight(): { saw: (totalBytes: number) => void; most: () => number } {
  const seen: { atMs: number; bytes: number }[] = [];
  let most = 0;
  return {
    saw: (totalBytes) => {
      const now = performance.now();
      seen.push({ atMs: now, bytes: totalBytes });
      while (seen[0] !== undefined && now - seen[0].atMs > 2 * ONE_WAY_MS) seen.shift();
      most = Math.max(most, totalBytes - (seen[0]?.bytes ?? 0));
    },
    most: () => most,
  };
}
