import { once } from 'node:events';
import { expect, test } from 'vitest';
import { CLI_PATH, cleanEnvironment, spawnTracked } from '../support/processes.js';
import { tempDir } from '../support/temp-dir.js';

test('a reader that has seen enough is no error: tributary ... | head', async () => {
  const child = spawnTracked(process.execPath, [CLI_PATH, 'rules'], cleanEnvironment(tempDir()));
  child.stdout?.destroy();
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  expect([code, stderr]).toEqual([0, '']);
});
