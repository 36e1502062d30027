/** SHA-256 of sources, in a worker thread, with one buffer of memory whatever their size. */
import { createHash } from 'node:crypto';
import { CONTROL, type Finding, type HashJob } from './protocol.js';
import { createSourceReader } from './source-reader.js';
import { sourceLength } from './source-table.js';
import { runUnits, type UnitRunner } from './units.js';

/** Large enough that system calls do not show, small enough to stay in the second-level cache. */
const READ_BYTES = 256 * 1024;

export function startHashing(job: HashJob): UnitRunner {
  const { control, order, digests, hashedBytes, sources } = job;
  const reader = createSourceReader(sources);
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  return {
    findings: [],
    step() {
      if (Atomics.load(control, CONTROL.stop) !== 0) return false;
      const source = order[Atomics.add(control, CONTROL.nextUnit, 1)];
      if (source === undefined) return false;
      const length = sourceLength(sources, source);
      const hash = createHash('sha256');
      for (let at = 0; at < length && Atomics.load(control, CONTROL.stop) === 0; at += READ_BYTES) {
        const piece = buffer.subarray(0, Math.min(READ_BYTES, length - at));
        reader.read(source, at, piece);
        hash.update(piece);
        Atomics.add(hashedBytes, 0, BigInt(piece.length));
      }
      digests.set(hash.digest(), source * 32);
      Atomics.add(control, CONTROL.doneUnits, 1);
      return true;
    },
    close: () => reader.close(),
  };
}

export const hashSources = (job: HashJob): readonly Finding[] => runUnits(startHashing(job));
