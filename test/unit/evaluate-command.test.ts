import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvaluatorConfig } from '../../client/evaluate/evaluator-config.js';
import { openEvaluator } from '../../client/evaluate/open-evaluator.js';
import { runProgram } from '../../client/evaluate/run-program.js';
import { evaluationJob, evaluatorConfig } from '../support/evaluation-job.js';
import { eventually } from '../support/eventually.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';

const FOLDER = tempDir();

let scripts = 0;
/** A script of Node.js with `argv` and `env` at hand. */
function script(body: string): string {
  scripts += 1;
  const path = join(FOLDER, `script ${scripts}.cjs`);
  writeFileSync(path, `const fs = require('node:fs'); const env = process.env; const argv = process.argv.slice(2);\n${body}\n`);
  return path;
}

const node = (body: string, ...words: string[]): string[] => [process.execPath, script(body), ...words];

async function evaluate(config: object, changes: Parameters<typeof evaluationJob>[1] = {}) {
  const evaluator = await openEvaluator('upright', evaluatorConfig({ retries: 0, ...config }), { folder: FOLDER });
  const job = evaluationJob(FOLDER, changes);
  try {
    return { outcome: await evaluator.evaluate(job), log: readFileSync(job.logFile, 'utf8') };
  } finally {
    await evaluator.close();
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A process that only its parent has not asked about is dead.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('the configuration of an evaluator', () => {
  const parse = (config: object): EvaluatorConfig => evaluatorConfig(config);

  it('has defaults', () => {
    expect(parse({ command: ['x'] })).toEqual({ command: ['x'], timeout_seconds: 3600, retries: 1 });
  });

  it.each([
    [{}, 'none'],
    [{ command: 'x', onnx: { graph: 'g', data: 'd' } }, 'command and onnx'],
    [{ command: [] }, 'Too small'],
    [{ command: 'x', timeout: 3 }, 'timeout'],
    [{ onnx: { graph: 'g', data: 'd' }, cwd: '/' }, 'cwd only mean'],
    [{ tfjs: { digits: { domain: 'sideways' } } }, 'tfjs'],
  ])('%o is refused', (config, part) => {
    expect(() => parse(config)).toThrow(part);
  });
});

describe('a command', () => {
  it('gets the candidate in its words and its environment', async () => {
    const body = `console.log(JSON.stringify({ accuracy: 0.5, words: argv.length })); console.error(JSON.stringify({ argv, env }));`;
    const command = node(body, '{model}', '--task={task}', '{metric} of {round}', '{candidate}', '{coefficients}', '{nothing}');
    const { outcome, log } = await evaluate({ command, env: { MORE: 'yes' } });
    expect(outcome.value).toBe(0.5);
    const said = JSON.parse(log.split('\n').find((line) => line.startsWith('{"argv"')) as string) as {
      argv: string[];
      env: Record<string, string>;
    };
    expect(said.argv).toEqual([FOLDER, '--task=upright', 'accuracy of r1', '7', '[0.25,0.5]', '{nothing}']);
    expect(said.env).toMatchObject({
      TRIBUTARY_MODEL: FOLDER,
      TRIBUTARY_TASK: 'upright',
      TRIBUTARY_METRIC: 'accuracy',
      TRIBUTARY_ROUND: 'r1',
      TRIBUTARY_CANDIDATE: '7',
      TRIBUTARY_COEFFICIENTS: '[0.25,0.5]',
      MORE: 'yes',
      PATH: process.env['PATH'],
    });
  });

  it('may be a text for the shell, where no value is ever syntax', async () => {
    const path = script(`console.log(JSON.stringify({ accuracy: 1 })); console.error(JSON.stringify(argv));`);
    const command = `cd . && "${process.execPath}" '${path}' {task} "a {task} b" 'c {task}' {coefficients}`;
    const { log } = await evaluate({ command }, { task: `it's "$(touch pwned)" \`x\`; {model}` });
    const words = JSON.parse(log.split('\n').find((line) => line.startsWith('["')) as string) as string[];
    const task = `it's "$(touch pwned)" \`x\`; {model}`;
    expect(words).toEqual([task, `a ${task} b`, `c ${task}`, '[0.25,0.5]']);
    expect(await readdir(FOLDER)).not.toContain('pwned');
  });

  it('takes another key than the metric of the study when it is told', async () => {
    const { outcome } = await evaluate({ command: node(`console.log('{"accuracy": 1, "f1": 0.25}')`), metric: 'f1' });
    expect(outcome.value).toBe(0.25);
  });

  it('may leave its JSON in {output}, as a file or in folders below it', async () => {
    const file = node(`fs.writeFileSync(argv[0], JSON.stringify({ accuracy: 0.125 })); console.log('{"accuracy": 9}')`, '{output}');
    expect((await evaluate({ command: file })).outcome.value).toBe(0.125);
    const below = node(`fs.writeFileSync(argv[0], JSON.stringify({ accuracy: 0.5 }))`, '{output}/metrics.json');
    expect((await evaluate({ command: below })).outcome.value).toBe(0.5);
    const harness = node(
      `const dir = argv[0] + '/__models__candidate'; fs.mkdirSync(dir, { recursive: true });
       fs.writeFileSync(dir + '/samples_qa.jsonl', '{"accuracy": 9}');
       fs.writeFileSync(dir + '/results_2026-01-01T00-00-00.json', JSON.stringify({ results: { qa: { 'acc,none': 0.75 } } }));`,
      '{output}',
    );
    expect((await evaluate({ command: harness, metric: 'acc' })).outcome.value).toBe(0.75);
  });

  it('never takes a file for its result that was there before', async () => {
    const results = join(FOLDER, 'results');
    mkdirSync(join(results, 'deep'), { recursive: true });
    writeFileSync(join(results, 'deep', 'results_old.json'), '{"accuracy": 0.1}');
    const quiet = node('');
    const error = await expectError('EVALUATION_FAILED', () => evaluate({ command: quiet, output: 'results/**/results_*.json' }));
    expect(error.message).toContain('no new JSON file');
    const writes = node(`fs.writeFileSync(argv[0], JSON.stringify({ accuracy: 0.2 }))`, join(results, 'deep', 'results_new.json'));
    expect((await evaluate({ command: writes, output: 'results/**/results_*.json' })).outcome.value).toBe(0.2);
    expect((await evaluate({ command: writes, output: 'results' })).outcome.value).toBe(0.2);
    expect((await evaluate({ command: writes, output: 'results/deep/results_ne?.json' })).outcome.value).toBe(0.2);
  });

  it('leaves no scratch folder behind', async () => {
    const { log } = await evaluate({
      command: node(`fs.writeFileSync(argv[0], '{"accuracy": 1}'); console.log('left ' + argv[0])`, '{output}'),
    });
    const path = /^left (.*)$/m.exec(log)?.[1] as string;
    expect(path).toContain(tmpdir());
    expect(existsSync(dirname(path))).toBe(false);
  });

  it('may print without end as long as its last words are the metrics', async () => {
    const body = `const line = 'x'.repeat(1023) + '\\n'; let left = 90 * 1024;
      const more = () => { while (left > 0) { left -= 1; if (!process.stdout.write(line)) { process.stdout.once('drain', more); return; } }
      console.log('{"accuracy": 0.375}'); }; more();`;
    const evaluator = await openEvaluator('upright', evaluatorConfig({ command: node(body) }));
    const job = evaluationJob(FOLDER);
    expect((await evaluator.evaluate(job)).value).toBe(0.375);
    const { size } = statSync(job.logFile);
    expect(size).toBeGreaterThan(60 * 1024 * 1024);
    expect(size).toBeLessThan(65 * 1024 * 1024);
    expect(readFileSync(job.logFile, 'utf8').slice(-2000)).toContain('{"accuracy": 0.375}');
  });

  it('that fails says why, with the end of what it printed', async () => {
    const error = await expectError('EVALUATION_FAILED', () =>
      evaluate({ command: node(`console.error('no CUDA device'); process.exit(3)`) }),
    );
    expect(error.message).toContain('exit code 3');
    expect(error.message).toContain('no CUDA device');
    expect(
      (await expectError('EVALUATION_FAILED', () => evaluate({ command: node(`process.kill(process.pid, 'SIGSEGV')`) }))).message,
    ).toContain('SIGSEGV');
  });

  it('that prints no JSON is refused', async () => {
    const dict = await expectError('EVALUATION_FAILED', () => evaluate({ command: node(`console.log("{'accuracy': 0.9}")`) }));
    expect(dict.message).toContain('json.dumps');
    const nan = await expectError('EVALUATION_FAILED', () => evaluate({ command: node(`console.log('{"accuracy": NaN}')`) }));
    expect(nan.message).toContain('not a finite number');
    const gradient = await expectError('EVALUATION_FAILED', () =>
      evaluate({ command: node(`console.log('{"accuracy": 1, "gradient": [1]}')`) }),
    );
    expect(gradient.message).toContain('2, one for each coefficient');
  });

  it('that is not there is unavailable before anything is measured', async () => {
    const open = (config: object) => openEvaluator('upright', evaluatorConfig(config), { folder: FOLDER });
    const missing = await expectError('EVALUATOR_UNAVAILABLE', () => open({ command: ['no-such-program-here'] }));
    expect(missing.message).toContain('no-such-program-here of task upright');
    await expectError('EVALUATOR_UNAVAILABLE', () => open({ command: ['./no-such-program-here'] }));
    const notExecutable = script('');
    await expectError('EVALUATOR_UNAVAILABLE', () => open({ command: [notExecutable] }));
    await expectError('EVALUATOR_UNAVAILABLE', () => open({ command: ['.'] }));
    await expectError('EVALUATOR_UNAVAILABLE', () => open({ command: ['node'], env: { PATH: FOLDER } }));
    const folder = await expectError('EVALUATOR_UNAVAILABLE', () => open({ command: 'true', cwd: 'no-such-folder' }));
    expect(folder.details.where).toBe(join(FOLDER, 'no-such-folder'));
    for (const command of [['node'], [process.execPath], ['{model}/run'], 'no-such-program-here --x'])
      await (await open({ command })).close();
    const bin = dirname(process.execPath);
    await (await open({ command: ['./node'], cwd: bin, env: { PATH: '' } })).close();
  });

  it('that went away is unavailable, and not tried again', async () => {
    const error = await expectError('EVALUATOR_UNAVAILABLE', () => evaluate({ command: 'no-such-program-here --x', retries: 3 }));
    expect(error.message).not.toContain('tried');
    const program = join(FOLDER, 'goes-away');
    writeFileSync(program, '', { mode: 0o755 });
    const evaluator = await openEvaluator('upright', evaluatorConfig({ command: ['./goes-away'], retries: 3 }), { folder: FOLDER });
    rmSync(program);
    const gone = await expectError('EVALUATOR_UNAVAILABLE', () => evaluator.evaluate(evaluationJob(FOLDER)));
    expect(gone.message).toContain('./goes-away cannot be started (ENOENT)');
    expect(gone.message).not.toContain('tried');
  });

  it('is tried again after a failure, and the reasons are kept', async () => {
    const state = join(FOLDER, 'tries');
    const body = `const tries = fs.existsSync(argv[0]) ? Number(fs.readFileSync(argv[0], 'utf8')) + 1 : 1; fs.writeFileSync(argv[0], String(tries));
      if (tries < 3) { console.error('bad luck ' + tries); process.exit(1); } console.log('{"accuracy": 0.5}')`;
    const { outcome, log } = await evaluate({ command: node(body, state), retries: 2 });
    expect(outcome.value).toBe(0.5);
    expect(log).toContain('bad luck 1');
    expect(log).toContain('try 2 failed, EVALUATION_FAILED');
    const error = await expectError('EVALUATION_FAILED', () =>
      evaluate({ command: node(`console.error('attempt', process.pid); process.exit(1)`), retries: 1 }),
    );
    expect(error.message).toMatch(/tried 2 times; before that: [\s\S]*attempt \d+[\s\S]*attempt \d+/);
  });

  it('that takes too long has failed', async () => {
    const error = await expectError('EVALUATION_FAILED', () =>
      evaluate({ command: node(`setInterval(() => {}, 1000)`), timeout_seconds: 0.5 }),
    );
    expect(error.message).toContain('ran out of time');
    expect(error.message).toContain('within 0.5 s');
  });

  it('is ended when the job is stopped, and that is no failure', async () => {
    const pidFile = join(FOLDER, 'stopped');
    const stop = new AbortController();
    const command = node(`fs.writeFileSync(argv[0], String(process.pid)); setInterval(() => {}, 1000);`, pidFile);
    const evaluator = await openEvaluator('upright', evaluatorConfig({ command, retries: 5 }));
    const running = expectError('INTERRUPTED', () => evaluator.evaluate(evaluationJob(FOLDER, { signal: stop.signal })));
    await eventually('the program runs', () => (existsSync(pidFile) && readFileSync(pidFile, 'utf8') !== '' ? true : undefined));
    stop.abort();
    await running;
    expect(isAlive(Number(readFileSync(pidFile, 'utf8')))).toBe(false);
    await expectError('INTERRUPTED', () => evaluator.evaluate(evaluationJob(FOLDER, { signal: stop.signal })));
  });
});

describe('a program', () => {
  const program = (body: string, signal: AbortSignal, graceMs: number, ...words: string[]) =>
    runProgram({
      command: node(body, ...words),
      folder: FOLDER,
      environment: process.env,
      logFile: evaluationJob(FOLDER).logFile,
      signal,
      graceMs,
    });

  it('that ignores SIGTERM is killed after the grace', async () => {
    const pidFile = join(FOLDER, 'stubborn');
    const stop = new AbortController();
    const running = expectError('INTERRUPTED', () =>
      program(
        `process.on('SIGTERM', () => fs.appendFileSync(argv[0], ' asked')); fs.writeFileSync(argv[0], String(process.pid)); setInterval(() => {}, 1000);`,
        stop.signal,
        400,
        pidFile,
      ),
    );
    await eventually('the program runs', () => (existsSync(pidFile) && readFileSync(pidFile, 'utf8') !== '' ? true : undefined));
    stop.abort();
    await running;
    const [pid, asked] = readFileSync(pidFile, 'utf8').split(' ');
    expect(asked).toBe('asked');
    expect(isAlive(Number(pid))).toBe(false);
  });

  it('is ended with everything it started', async () => {
    const pidFile = join(FOLDER, 'grandchild');
    const body = `const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
      fs.writeFileSync(argv[0], process.pid + ' ' + child.pid + '.'); setInterval(() => {}, 1000);`;
    const stop = new AbortController();
    const running = expectError('INTERRUPTED', () => program(body, stop.signal, 5000, pidFile));
    await eventually('both run', () => (existsSync(pidFile) && readFileSync(pidFile, 'utf8').endsWith('.') ? true : undefined));
    stop.abort();
    await running;
    for (const pid of readFileSync(pidFile, 'utf8').split(/[ .]/, 2)) expect(isAlive(Number(pid)), pid).toBe(false);
  });

  it('cannot keep its evaluation open with something in the background', async () => {
    const body = `const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
      console.log(child.pid); child.unref(); process.exit(0)`;
    const { stdout, ended } = await program(body, new AbortController().signal, 300);
    expect(ended).toBe(0);
    await eventually('it is dead', () => (isAlive(Number(stdout)) ? undefined : true));
  });

  it('cannot even do so with something that left its group', async () => {
    const body = `const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit', detached: true });
      console.log(child.pid); child.unref(); process.exit(0)`;
    const { stdout, ended } = await program(body, new AbortController().signal, 200);
    expect(ended).toBe(0);
    process.kill(Number(stdout), 'SIGKILL');
  });
});
