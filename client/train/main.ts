#!/usr/bin/env node
/** Runs `tributary train` as a process of its own: `node dist/client/train/main.js base --out DIR`. */
import { EXIT_CODE } from '../../shared/errors/catalogue.js';
import { runTrainCommand } from './command.js';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (stop.signal.aborted) process.exit(EXIT_CODE.interrupted);
    stop.abort();
  });
}
process.exitCode = await runTrainCommand(process.argv.slice(2), {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  signal: stop.signal,
});
