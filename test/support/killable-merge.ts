/** Runs a merge in its own process and kills it when it has got far enough. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('./merge-process.js', import.meta.url));

export interface KilledMerge {
  readonly killed: boolean;
  /** Bytes that an earlier run had written. */
  readonly resumedBytes: number;
}

/** @param killAtBytes killed when it reports so many bytes or more */
export function runKillable(recipe: string, out: string, killAtBytes: number): Promise<KilledMerge> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [SCRIPT, recipe, out], { stdio: ['ignore', 'pipe', 'inherit'] });
    let resumedBytes = 0;
    child.stdout.on('data', (text: Buffer) => {
      for (const line of text.toString().split('\n').filter(Boolean)) {
        const [done = '', resumed = ''] = line.split(' ');
        resumedBytes = Number(resumed);
        if (Number(done) >= killAtBytes) child.kill('SIGKILL');
      }
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (signal === 'SIGKILL') resolve({ killed: true, resumedBytes });
      else if (code === 0) resolve({ killed: false, resumedBytes });
      else reject(new Error(`exit code ${code}`));
    });
  });
}
