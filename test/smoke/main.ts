/**
 * Runs an installed `tributary` the way a user does, with whatever Node runs this file: a merge offline, and the same merge as a round.
 * Usage: node dist/test/smoke/main.js PATH-TO/client/cli/main.js
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { f32Tensor, writeCheckpoint } from '../support/write-checkpoint.js';

const [command] = process.argv.slice(2);
if (command === undefined) throw new Error('usage: main.js PATH-TO-TRIBUTARY');
const dir = mkdtempSync(join(tmpdir(), 'tributary-smoke-'));
const environment = { ...process.env, HOME: dir, XDG_CACHE_HOME: join(dir, 'cache'), XDG_CONFIG_HOME: join(dir, 'config') };

function tributary(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command as string, ...args], {
    encoding: 'utf8',
    env: environment,
    timeout: 120_000,
  });
  if (status !== 0) throw new Error(`tributary ${args.join(' ')} ended with ${status}:\n${stdout}\n${stderr}`);
  return stdout;
}

async function startCoordinator(): Promise<{ child: ChildProcess; server: string }> {
  const child = spawn(
    process.execPath,
    [command as string, 'coordinator', '--data', join(dir, 'data'), '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0'],
    { env: environment, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  for await (const line of createInterface({ input: child.stdout })) {
    const entry = JSON.parse(line) as { event?: string; grpc: string };
    if (entry.event === 'listening') return { child, server: entry.grpc };
  }
  throw new Error('the coordinator stopped at its start');
}

async function main(): Promise<void> {
  const folders = ['base', 'alice', 'bob'].map((name) => join(dir, name));
  for (const [index, folder] of folders.entries()) {
    const values = Float32Array.from({ length: 3000 }, (_, element) => Math.sin(element) + index * Math.cos(3 * element));
    writeCheckpoint(folder, [f32Tensor('layer.weight', [...values], [30, 100])]);
  }
  const [base, alice, bob] = folders as [string, string, string];
  const recipe = join(dir, 'recipe.yml');
  writeFileSync(
    recipe,
    `merge_method: task_arithmetic\nbase_model: ${base}\nmodels: [{model: ${alice}}, {model: ${bob}}]\nparameters: {weight: 1, lambda: 0.5}\n`,
  );
  tributary('merge', recipe, '--out', join(dir, 'offline'));

  const { child, server } = await startCoordinator();
  try {
    const rounds = join(dir, 'round.yml');
    writeFileSync(rounds, 'merge_method: task_arithmetic\nparameters: {weight: 1, lambda: 0.5}\n');
    tributary('base', 'push', base, '--name', 'base', '--server', server);
    tributary('round', 'create', 'smoke', '--base', 'base', '--recipe', rounds, '--quorum', '2', '--server', server);
    tributary('push', alice, '--round', 'smoke', '--as', 'alice', '--server', server);
    tributary('push', bob, '--round', 'smoke', '--as', 'bob', '--server', server);
    tributary('round', 'watch', 'smoke', '--server', server);
    tributary('pull', 'smoke', '--out', join(dir, 'pulled'), '--server', server);
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const [code] = (await exited) as [number | null];
    if (code !== 0) throw new Error(`the coordinator ended with ${code}`);
  } finally {
    child.kill('SIGKILL');
  }
  const [offline, pulled] = ['offline', 'pulled'].map((name) => readFileSync(join(dir, name, 'model.safetensors')));
  if (offline === undefined || pulled === undefined || !offline.equals(pulled)) throw new Error('the round and the offline merge differ');
  tributary('doctor');
  process.stdout.write(`smoke test on Node ${process.version}: a merge offline and as a round, the same ${offline.length} bytes\n`);
}

try {
  await main();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
