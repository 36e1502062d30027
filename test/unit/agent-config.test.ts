/** agent.yaml: what it says, what it may not say, and what wins over it. */
import { mkdirSync, mkdtempSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadAgentConfig } from '../../client/agent/agent-config.js';
import { openWorkFolder } from '../../client/agent/work-folder.js';
import { loadSettings } from '../../client/settings.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';

const folder = tempDir();

function write(text: string): string {
  const path = join(mkdtempSync(join(folder, 'config-')), 'agent.yaml');
  writeFileSync(path, text);
  return path;
}

const TASKS = 'tasks: {legal: {command: ./measure.sh}}';

describe('agent.yaml', () => {
  test('all of it', () => {
    const path = write(`
server: merge.example:7070
token: secret
tls: {ca: ca.pem}
agent: alice
rounds: [spring, summer]
work: ./work
parallel: 3
keep_logs: 12
cache_days: 0.5
cache_gb: 200
once: true
give_up_after_seconds: 90
tasks:
  legal: {command: "measure {model}", metric: accuracy, timeout_seconds: 60, retries: 2}
  code: {command: [python, run.py]}
`);
    const { tasks, ...config } = loadAgentConfig(path);
    expect(config).toEqual({
      connection: { server: 'merge.example:7070', token: 'secret', tls: { ca: 'ca.pem' } },
      agent: 'alice',
      rounds: ['spring', 'summer'],
      work: join(path, '..', 'work'),
      parallel: 3,
      keepLogs: 12,
      cacheLimits: { sizeBytes: 200e9, unusedMs: 12 * 3600 * 1000 },
      once: true,
      giveUpAfterMs: 90_000,
      folder: join(path, '..'),
    });
    expect([...tasks.keys()]).toEqual(['legal', 'code']);
    expect(tasks.get('legal')).toMatchObject({ command: 'measure {model}', metric: 'accuracy', timeout_seconds: 60, retries: 2 });
  });

  test('next to nothing', () => {
    const { tasks, ...config } = loadAgentConfig(write(TASKS));
    expect(config).toMatchObject({ agent: undefined, rounds: undefined, work: undefined, parallel: 1, keepLogs: 200, once: false });
    expect(config).toMatchObject({ cacheLimits: { sizeBytes: Infinity, unusedMs: 30 * 24 * 3600 * 1000 }, giveUpAfterMs: 600_000 });
    expect(tasks.size).toBe(1);
  });

  test.each([
    [`${TASKS}\nparralel: 2`, 'Unknown key parralel'],
    [`${TASKS}\nparallel: 0`, 'parallel: '],
    [`${TASKS}\nrounds: []`, 'rounds: '],
    [`${TASKS}\ncache_gb: 0`, 'cache_gb: '],
    [`${TASKS}\ncache_days: -1`, 'cache_days: '],
    [`${TASKS}\ngive_up_after_seconds: soon`, 'give_up_after_seconds: '],
    [`${TASKS}\nagent: "a b"`, 'agent: '],
    [`${TASKS}\ntls: {cert: a, keys: b}`, 'Unknown key tls.keys'],
    ['parallel: 1', 'tasks: '],
    ['tasks: {}', 'tasks: no task is named'],
    ['tasks: {legal: {}}', 'tasks.legal: '],
    ['tasks: {legal: {command: a, comand: b}}', 'Unknown key tasks.legal.comand'],
    ['- a list', 'the file: '],
    ['tasks: {legal: ', 'The config file of the agent is not YAML'],
  ])('%s is refused, naming the key', async (text, what) => {
    const path = write(text);
    const error = await expectError('CONFIG_INVALID', () => loadAgentConfig(path));
    expect(error.details.what.startsWith(what), error.details.what).toBe(true);
    expect(error.details.where).toBe(path);
  });

  test('a file that is not there', async () => {
    await expectError('CONFIG_INVALID', () => loadAgentConfig(join(folder, 'nothing.yaml')));
  });

  test('its connection stands between the config file and variables and flags', () => {
    const environment = { HOME: folder, XDG_CONFIG_HOME: join(folder, 'etc') };
    mkdirSync(join(folder, 'etc', 'tributary'), { recursive: true });
    writeFileSync(join(folder, 'etc', 'tributary', 'config.yaml'), 'server: of-config:1\ntoken: of-config\ncontributor: me\n');
    const values = loadAgentConfig(write(`server: of-agent:1\n${TASKS}`)).connection;
    expect(loadSettings({ environment, values, flags: {} })).toMatchObject({ server: 'of-agent:1', token: 'of-config', contributor: 'me' });
    const variables = { ...environment, TRIBUTARY_SERVER: 'of-variable:1' };
    expect(loadSettings({ environment: variables, values, flags: {} }).server).toBe('of-variable:1');
    expect(loadSettings({ environment: variables, values, flags: { server: 'of-flag:1' } }).server).toBe('of-flag:1');
    const tls = loadAgentConfig(write(`tls: {cert: c, key: k}\n${TASKS}`)).connection;
    expect(loadSettings({ environment, values: tls, flags: { tlsCa: 'ca.pem' } }).tls).toEqual({ ca: 'ca.pem', cert: 'c', key: 'k' });
  });
});

describe('the work folder', () => {
  test('a lock whose process is gone is taken over, and slots of it are thrown away', async () => {
    const path = join(folder, 'work');
    mkdirSync(join(path, 'slots', '0'), { recursive: true });
    writeFileSync(join(path, 'slots', '0', 'model.safetensors'), 'half a candidate');
    mkdirSync(join(path, 'models', 'abc'), { recursive: true });
    writeFileSync(join(path, 'lock'), '999999999 12345');
    const work = await openWorkFolder(path, 10);
    expect(readdirSync(path).sort()).toEqual(['lock', 'models']);
    await expectError('DATA_DIR_LOCKED', () => openWorkFolder(path, 10));
    await work.close();
    await (await openWorkFolder(path, 10)).close();
    expect(readdirSync(path)).toEqual(['models']);
  });

  test('logs of earlier runs count among the newest, and names of tasks become names of files', async () => {
    const path = join(folder, 'logs');
    const old = join(path, 'logs', 'autumn');
    mkdirSync(old, { recursive: true });
    for (const [index, name] of ['0-a.log', '1-a.log', '2-a.log'].entries()) {
      writeFileSync(join(old, name), '');
      utimesSync(join(old, name), 1_000 + index, 1_000 + index);
    }
    const work = await openWorkFolder(path, 3);
    const log = await work.openLog('spring', 4, '../legal/é?');
    writeFileSync(log, '');
    expect(join(log, '..')).toBe(join(path, 'logs', 'spring'));
    writeFileSync(await work.openLog('spring', 5, 'b'), '');
    await work.close();
    expect(readdirSync(old)).toEqual(['2-a.log']);
    expect(readdirSync(join(path, 'logs', 'spring'))).toHaveLength(2);
  });
});
