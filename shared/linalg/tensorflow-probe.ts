/** Finds a TensorFlow that works. Each is tried in a process of its own: libtensorflow ends a process whose processor or driver does not suit it. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findTensorflowAddon, tensorflowPackages } from './tensorflow-addon.js';

export interface FoundTensorflow {
  readonly packageName: string;
  /** `cpu` or `gpu:0`. */
  readonly device: string;
  /** Of libtensorflow. */
  readonly version: string;
}

export interface NoTensorflow {
  readonly reason: string;
}

/** The first use of a new GPU compiles kernels for it. */
const PATIENCE_MS = 600_000;
const TRIAL = fileURLToPath(new URL('tensorflow-trial.js', import.meta.url));

/** @param device only this one will do; default: the best that works */
export async function probeTensorflow(enginesFolder: string, device?: string): Promise<FoundTensorflow | NoTensorflow> {
  const reasons: string[] = [];
  for (const packageName of tensorflowPackages(enginesFolder)) {
    if (findTensorflowAddon(packageName) === undefined) continue;
    const result = await tryOne(packageName, device);
    if (!('reason' in result)) return result;
    reasons.push(`${packageName}: ${result.reason}`);
  }
  return { reason: reasons.length === 0 ? 'not installed (npm run setup:tensorflow)' : reasons.join('; ') };
}

function tryOne(packageName: string, device: string | undefined): Promise<FoundTensorflow | NoTensorflow> {
  const args = [TRIAL, packageName, ...(device === undefined ? [] : [device])];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: PATIENCE_MS }, (error, output) => {
      if (error === null) resolve(JSON.parse(output) as FoundTensorflow | NoTensorflow);
      else resolve({ reason: `its trial ended with ${error.signal ?? `status ${error.code}`}` });
    });
  });
}
