/** What operators and other programs see of a coordinator: metrics, health, readiness, gRPC health and reflection, and a clean end. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { createChannel, createClient } from 'nice-grpc';
import { HealthDefinition } from 'nice-grpc-server-health';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fineTune, makeBase, writeSingle } from '../support/checkpoints.js';
import { type CliOptions, cliOk, type ModelJson, type PushJson, type RoundJson, startCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { startDelayProxy } from '../support/delay-proxy.js';
import { eventually } from '../support/eventually.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { tempDir } from '../support/temp-dir.js';

/** grpc.health.v1.HealthCheckResponse.ServingStatus. */
const SERVING = 1;
const SERVICES = ['Evaluation', 'Model', 'Pareto', 'Round', 'Transfer'].map((name) => `tributary.v1.${name}Service`);

killLeftoversAfterAll();
const folder = tempDir();
const home = join(folder, 'home');
const base = makeBase(1);
let coordinator: CoordinatorProcess;
let cli: CliOptions;
let contributed: PushJson;

beforeAll(async () => {
  mkdirSync(home);
  writeSingle(join(folder, 'base'), base);
  writeSingle(join(folder, 'tuned'), fineTune(base, 2));
  writeSingle(join(folder, 'late'), fineTune(base, 3));
  coordinator = await CoordinatorProcess.start({ dataDir: join(folder, 'data'), home });
  cli = { home, server: coordinator.address };
  await cliOk(['base', 'push', join(folder, 'base'), '--name', 'base'], cli);
  await cliOk(['round', 'create', 'r', '--base', 'base', '--method', 'linear', '--quorum', '1'], cli);
  contributed = await cliOk<PushJson>(['push', join(folder, 'tuned'), '--round', 'r', '--as', 'a'], cli);
  await cliOk(['round', 'watch', 'r'], cli);
  await cliOk(['pull', 'r', '--out', join(folder, 'out')], cli);
});

afterAll(async () => {
  await coordinator.kill('SIGKILL');
});

describe('metrics', () => {
  test('count what a round did', async () => {
    const [model] = (await cliOk<ModelJson[]>(['base', 'list'], cli)) as [ModelJson];
    expect(await coordinator.metric('tributary_received_bytes_total')).toBeGreaterThanOrEqual(contributed.sentBytes);
    expect(await coordinator.metric('tributary_deduplicated_bytes_total')).toBe(contributed.savedBytes);
    expect(await coordinator.metric('tributary_served_bytes_total')).toBeGreaterThanOrEqual(model.totalBytes / 2);
    expect(await coordinator.metric('tributary_rounds{state="published"}')).toBe(1);
    expect(await coordinator.metric('tributary_contributions{status="accepted"}')).toBe(1);
    expect(await coordinator.metric('tributary_transfers_total{result="accepted"}')).toBe(1);
    expect(await coordinator.metric('tributary_merge_seconds_count{result="published"}')).toBe(1);
    expect(await coordinator.metric('tributary_merge_read_bytes_total')).toBeGreaterThan(0);
    expect(await coordinator.metric('tributary_merge_written_bytes_total')).toBeGreaterThan(0);
    expect(await coordinator.metric('tributary_open_write_streams')).toBe(0);
    expect(await coordinator.metric('tributary_chunks_total{result="durable"}')).toBeGreaterThan(1);
  });

  test('carry no name of a round, model or contributor', async () => {
    const { text, status } = await coordinator.http('/metrics');
    expect(status).toBe(200);
    expect(text).toMatch(/tributary_rpc_seconds_count\{method="TransferService\/Write",status="OK"\} \d+/);
    for (const label of text.matchAll(/(\w+)="/g)) expect(['round', 'model', 'contributor', 'name', 'base']).not.toContain(label[1]);
  });
});

describe('health', () => {
  test('over HTTP', async () => {
    expect((await coordinator.http('/healthz')).status).toBe(200);
    expect((await coordinator.http('/readyz')).status).toBe(200);
    expect((await coordinator.http('/nothing')).status).toBe(404);
  });

  test('over gRPC, for each service', async () => {
    const channel = createChannel(coordinator.address);
    const health = createClient(HealthDefinition, channel);
    try {
      for (const service of ['', ...SERVICES]) {
        const { status } = await health.check({ service });
        expect(status, service).toBe(SERVING);
      }
    } finally {
      channel.close();
    }
  });

  test('reflection lists the services', async () => {
    const answer = await askReflection(coordinator.address);
    for (const service of SERVICES) expect(answer).toContain(service);
  });
});

describe('SIGTERM', () => {
  test('ends with 0; a push under way goes on after the restart', async () => {
    const own = await CoordinatorProcess.start({ dataDir: join(folder, 'drained'), home });
    let stopped: ReturnType<typeof own.kill> | undefined;
    const line = await startDelayProxy({
      targetPort: own.grpcPort,
      oneWayDelayMs: 5,
      onUpload: (bytes) => {
        if (bytes > 10_000_000) stopped ??= own.kill('SIGTERM');
      },
    });
    try {
      const pushing = startCli(['base', 'push', join(folder, 'late'), '--name', 'late'], { home, server: line.address });
      const { code, signal } = await eventually('the push is under way', () => stopped);
      expect([code, signal]).toEqual([0, null]);
      expect(own.log.at(-1)?.event).toBe('stopped');
      await own.start();
      const { code: pushed, stderr } = await pushing.result;
      expect(pushed, stderr).toBe(0);
      const models = await cliOk<ModelJson[]>(['base', 'list'], { home, server: own.address });
      expect(models.map(({ name }) => name)).toEqual(['late']);
    } finally {
      await line.close();
      await own.kill();
    }
  });

  test('a watcher is let go and comes back', async () => {
    const own = await CoordinatorProcess.start({ dataDir: join(folder, 'watched'), home });
    const server = own.address;
    try {
      await cliOk(['base', 'push', join(folder, 'base'), '--name', 'base'], { home, server });
      await cliOk(['round', 'create', 'w', '--base', 'base'], { home, server });
      const watching = startCli(['round', 'watch', 'w'], { home, server });
      let notes = '';
      watching.child.stderr?.on('data', (text: string) => {
        notes += text;
      });
      await eventually('the watcher is there', () => (notes.includes('round w is open') ? true : undefined));
      expect((await own.kill('SIGTERM')).code).toBe(0);
      await own.start();
      await cliOk<RoundJson>(['round', 'cancel', 'w'], { home, server });
      const { json, code, stderr } = await watching.result;
      expect(code, stderr).toBe(0);
      expect((json as RoundJson).state).toBe('cancelled');
    } finally {
      await own.kill();
    }
  });
});

/** `list_services: "*"` by hand; the names stand as they are in the answer. */
async function askReflection(address: string): Promise<string> {
  const client = new Client(address, credentials.createInsecure());
  try {
    const call = client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      (request: Buffer) => request,
      (answer: Buffer) => answer,
    );
    call.end(Buffer.from([0x3a, 0x01, 0x2a]));
    let text = '';
    for await (const answer of call) text += (answer as Buffer).toString('latin1');
    return text;
  } finally {
    client.close();
  }
}
