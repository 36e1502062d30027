/**
 * Progress of bytes: a bar on a terminal (bytes, rate, time left, what was there already), plain lines elsewhere. The bar goes away when it
 * is stopped, and comes back at the next update: stop it before writing a line.
 */
import { SingleBar } from 'cli-progress';
import type { Io } from './io.js';
import { formatBytes, formatSeconds } from './units.js';

export interface ByteProgress {
  /** @param beside what else is counted, such as `matrices 3 of 96` */
  update(doneBytes: number, totalBytes: number, savedBytes?: number, beside?: string): void;
  stop(): void;
}

/** Without a terminal, a line at most this often; what is over sooner prints none. */
const LINE_EVERY_MS = 2_000;

export function byteProgress(io: Io, title: string): ByteProgress {
  return io.interactive ? bar(title) : lines(io, title);
}

function bar(title: string): ByteProgress {
  let view: SingleBar | undefined;
  let started = { ms: 0, bytes: 0 };
  return {
    update: (doneBytes, totalBytes, savedBytes = 0, beside = '') => {
      if (view === undefined) {
        started = { ms: performance.now(), bytes: doneBytes };
        const format = `${title} {bar} {percentage}%  {done} of {size}  {rate}  {left}{saved}{beside}`;
        view = new SingleBar({ format, stream: process.stderr, hideCursor: true, barsize: 24, clearOnComplete: true, gracefulExit: false });
        view.start(Math.max(1, totalBytes), 0, {});
      }
      const seconds = (performance.now() - started.ms) / 1000;
      const rate = seconds > 0.2 ? (doneBytes - started.bytes) / seconds : 0;
      view.update(totalBytes === 0 ? 1 : doneBytes, {
        done: formatBytes(doneBytes),
        size: formatBytes(totalBytes),
        rate: rate > 0 ? `${formatBytes(Math.round(rate))}/s` : '',
        left: rate > 0 && doneBytes < totalBytes ? `${formatSeconds((totalBytes - doneBytes) / rate)} left` : '',
        saved: savedBytes > 0 ? `  (${formatBytes(savedBytes)} already there)` : '',
        beside: beside === '' ? '' : `  ${beside}`,
      });
    },
    stop: () => {
      view?.stop();
      view = undefined;
    },
  };
}

function lines(io: Io, title: string): ByteProgress {
  let lastMs = performance.now();
  let last = '';
  return {
    update: (doneBytes, totalBytes, savedBytes = 0, beside = '') => {
      const nowMs = performance.now();
      if (nowMs - lastMs < LINE_EVERY_MS && (doneBytes < totalBytes || last === '')) return;
      lastMs = nowMs;
      const saved = savedBytes > 0 ? ` (${formatBytes(savedBytes)} already there)` : '';
      const text = `${title}: ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}${saved}${beside === '' ? '' : `, ${beside}`}`;
      if (text === last) return;
      last = text;
      io.note(text);
    },
    stop: () => {},
  };
}
