/** `tributary doctor`: what runs here, how fast, within which limits, and whether the coordinator answers. */
import { createRequire } from 'node:module';
import { cpus, freemem, totalmem } from 'node:os';
import { toTributaryError } from '../../shared/errors/tributary-error.js';
import { MAX_HEADER_BYTES } from '../../shared/formats/safetensors-header.js';
import { measureKernels } from '../../shared/kernels/measure.js';
import { MAX_MANIFEST_BYTES } from '../../shared/transfer/artifact.js';
import { CHUNK_BYTES } from '../../shared/transfer/chunk-layout.js';
import { VERSION } from '../../shared/version.js';
import { connect } from '../api/connection.js';
import { defaultConfigPath } from '../settings.js';
import { describeBackend } from '../train/backend.js';
import type { CommandContext } from './context.js';
import { engineLines, fixEngines, inspectEngines } from './doctor-engines.js';
import { formatBytes } from './units.js';

/** How long to wait for the coordinator's answer. */
const ANSWER_WITHIN_MS = 3_000;

/** @param fix install what is missing first */
export async function runDoctor(context: CommandContext, fix: boolean): Promise<void> {
  if (fix) await fixEngines(process.env, context.signal, (text) => context.io.note(text));
  const kernels = await measureKernels();
  const trainer = await describeBackend().catch((error: Error) => ({ backend: 'none', version: '-', reason: error.message }));
  const linearAlgebra = await inspectEngines(context.settings.engine, process.env);
  const coordinator = await askCoordinator(context);
  const document = {
    tributary: VERSION,
    node: process.version,
    grpc: packageVersion('@grpc/grpc-js'),
    platform: `${process.platform} ${process.arch}`,
    cores: cpus().length,
    threads: context.threads,
    memoryBytes: { total: totalmem(), free: freemem() },
    mergeEngine: { kind: 'wasm-simd', normGigabytesPerSecond: kernels.gigabytesPerSecond },
    linearAlgebra,
    trainer,
    coordinator,
    config: process.env['TRIBUTARY_CONFIG'] ?? defaultConfigPath(process.env),
    limits: { chunkBytes: CHUNK_BYTES, manifestBytes: MAX_MANIFEST_BYTES, safetensorsHeaderBytes: MAX_HEADER_BYTES },
  };
  const lines = [
    `tributary    ${VERSION} on Node ${process.version}, ${document.platform}, grpc-js ${document.grpc}`,
    `machine      ${document.cores} cores (${context.threads} threads used), ${formatBytes(totalmem())} memory, ${formatBytes(freemem())} free`,
    `merge engine WebAssembly SIMD; norms of bf16 task vectors at ${kernels.gigabytesPerSecond.toFixed(1)} GB/s a core, in cache`,
    ...engineLines(linearAlgebra),
    `trainer      ${trainer.backend} ${trainer.version}: ${trainer.reason}`,
    `coordinator  ${coordinator.server}: ${coordinator.answer}`,
    `config       ${document.config}`,
    `limits       chunks ${formatBytes(CHUNK_BYTES)}, manifest ${formatBytes(MAX_MANIFEST_BYTES)}, safetensors header ${formatBytes(MAX_HEADER_BYTES)}`,
  ];
  context.io.result(document, lines.join('\n'));
}

async function askCoordinator(context: CommandContext): Promise<{ server: string; reachable: boolean; answer: string }> {
  const connection = connect(context.settings);
  const startedMs = performance.now();
  try {
    await connection.rounds.listRounds(
      { pageSize: 1 },
      { signal: AbortSignal.any([context.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]) },
    );
    return { server: connection.server, reachable: true, answer: `answers in ${(performance.now() - startedMs).toFixed(0)} ms` };
  } catch (error) {
    return {
      server: connection.server,
      reachable: false,
      answer: `does not answer [${toTributaryError(error).code}]; not needed for offline merges`,
    };
  } finally {
    connection.close();
  }
}

function packageVersion(name: string): string {
  return (createRequire(import.meta.url)(`${name}/package.json`) as { version: string }).version;
}
