#!/usr/bin/env node
/**
 * The `tributary` command. Commands are loaded when they run, so that `merge` does not pay for gRPC.
 * This is the only place in client/ that handles signals and sets the exit code.
 */
import { Command, CommanderError, Option } from 'commander';
import { CATALOGUE, EXIT_CODE } from '../../shared/errors/catalogue.js';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { VERSION } from '../../shared/version.js';
import type { AgentFlags } from './agent-command.js';
import type { CommandContext } from './context.js';
import { engineOption } from './engine-flag.js';
import type { ExtractFlags } from './extract-command.js';
import { createIo, describeError } from './io.js';
import type { LocalContext } from './local-context.js';
import type { MergeFlags } from './merge-command.js';
import { addMergekitFlags } from './mergekit-flags.js';
import { addParetoCommands } from './pareto-program.js';
import type { PullFlags } from './pull-command.js';
import type { PushFlags } from './push-command.js';
import type { RebuildFlags } from './rebuild-command.js';
import type { CreateFlags } from './round-command.js';
import { wholeNumber } from './units.js';

const interrupt = new AbortController();
let exitCode: number = EXIT_CODE.ok;

/** Runs a command's body with its context. */
function action<Args extends unknown[]>(
  body: (context: CommandContext, ...args: Args) => Promise<void>,
): (...args: [...Args, Command]) => Promise<void> {
  return async (...all) => {
    const command = all.at(-1) as Command;
    const { contextOf } = await import('./context.js');
    const contributor = command.opts<{ as?: string }>().as;
    await body(contextOf(command, interrupt.signal, contributor), ...(all.slice(0, -1) as unknown as Args));
  };
}

/** The same for commands that need no coordinator. */
function localAction<Args extends unknown[]>(
  body: (context: LocalContext, ...args: Args) => Promise<void>,
): (...args: [...Args, Command]) => Promise<void> {
  return async (...all) => {
    const { localContextOf } = await import('./local-context.js');
    await body(localContextOf(all.at(-1) as Command, interrupt.signal), ...(all.slice(0, -1) as unknown as Args));
  };
}

const count = (flag: string, least = 0) => wholeNumber(flag, least);

const EXAMPLES = `
Examples:
  tributary demo                                          a whole federation on this machine
  tributary merge recipe.yml --out merged                 merge offline
  tributary coordinator --data ./rounds                   run a coordinator
  tributary base push ./llama --name llama                register a base
  tributary round create spring --base llama --quorum 4   open a round
  tributary push ./tuned --round spring --as alice --samples 3000
  tributary pull spring --out ./merged
  tributary agent --config agent.yaml                     measure candidates of a map block, next to your data
  tributary pareto query spring --prefer legal=2,code=1   the best merge if legal matters twice as much as code

Exit codes: 0 done, 1 defect, 2 usage or recipe, 3 unsound input, 4 refused, 5 unreachable, 6 disk or port, 130 stopped.`;

function buildProgram(): Command {
  const program = new Command('tributary')
    .description('Merge fine-tuned models: offline, or in rounds with a coordinator.')
    .version(VERSION)
    .option('--server <host:port>', 'coordinator (default 127.0.0.1:7070, config file, TRIBUTARY_SERVER)')
    .option('--token <token>', 'credentials (config file, TRIBUTARY_TOKEN)')
    .option('--tls-ca <file>', 'PEM file of the authority that signed the coordinator (turns TLS on)')
    .option('--config <file>', 'config file (default ~/.config/tributary/config.yaml)')
    .option('--patience <seconds>', 'keep trying this long while the coordinator cannot be reached (default 120)', count('--patience'))
    .option('--threads <n>', 'worker threads (default: all cores)', count('--threads', 1))
    .addOption(
      new Option('--format <format>', 'json: one document on stdout (yaml: `rules show` only)')
        .choices(['table', 'json', 'yaml'])
        .default('table'),
    )
    .option('-q, --quiet', 'no progress, no notes', false)
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({ outputError: () => {} });

  program
    .command('coordinator')
    .description('run a coordinator until SIGTERM or Ctrl-C')
    .option('--data <dir>', 'folder for everything it keeps (default ./tributary-data)')
    .option('--listen <host:port>', 'gRPC address (default 127.0.0.1:7070)')
    .option('--http <host:port>', 'address of /metrics, /healthz, /readyz (default 127.0.0.1:7071)')
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent')
    .addOption(engineOption())
    .action(async (flags: Record<string, string | undefined>, command: Command) => {
      const { config, threads } = command.optsWithGlobals<{ config?: string; threads?: number }>();
      // The coordinator is an entry point of its own: the process is handed over to it, client code never imports it.
      const entry = new URL('../../coordinator/main.js', import.meta.url).href;
      const { runCoordinator } = (await import(entry)) as { runCoordinator: (flags: object) => Promise<number> };
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
      exitCode = await runCoordinator({ ...flags, config, threads });
    });

  const base = program.command('base').description('base models');
  base
    .command('push')
    .description('register a checkpoint as a base model')
    .argument('<dir>', 'checkpoint folder or safetensors file')
    .requiredOption('--name <name>', 'name of the base')
    .action(
      action(async (context, dir: string, flags: { name: string }) =>
        (await import('./push-command.js')).runBasePush(context, dir, flags.name),
      ),
    );
  base
    .command('list')
    .description('list registered bases')
    .option('--all', 'published models too', false)
    .action(action(async (context, flags: { all: boolean }) => (await import('./round-command.js')).listModels(context, flags.all)));

  addRoundCommands(program);

  program
    .command('push')
    .description('contribute a fine-tuned checkpoint or a LoRA adapter to a round')
    .argument('<dir>', 'checkpoint folder, safetensors file or folder of a PEFT adapter')
    .requiredOption('--round <name>', 'the round')
    .option('--as <contributor>', 'who contributes (default: config file, TRIBUTARY_CONTRIBUTOR, your user name)')
    .option('--samples <n>', 'training samples behind it (fedavg weighs by them)', count('--samples', 1))
    .option('--steps <n>', 'optimiser steps behind it', count('--steps', 1))
    .addOption(
      new Option('--kind <kind>', 'full: fine-tuned weights; delta: already the difference to the base')
        .choices(['full', 'delta'])
        .default('full'),
    )
    .option('--base <base>', 'what it was fine-tuned from (name, digest or pulled folder); refused if the round uses another')
    .option(
      '--compress <star:eta>',
      'send what STAR keeps of the task vector, ETA percent of its nuclear norm, as factors (needs --base DIR)',
    )
    .addOption(engineOption())
    .action(action(async (context, dir: string, flags: PushFlags) => (await import('./push-command.js')).runPush(context, dir, flags)));

  program
    .command('pull')
    .description('fetch the model of a round, a base, or any model by digest')
    .argument('<name>', 'round, model or digest')
    .requiredOption('--out <dir>', 'folder to make')
    .option('--task <name>', 'of a merge with task masks (emr, tall): the own model of this task')
    .action(action(async (context, name: string, flags: PullFlags) => (await import('./pull-command.js')).runPull(context, name, flags)));

  program
    .command('agent')
    .description('measure candidates of rounds with a map block, beside data that never leaves')
    .option('--once', 'end when no round wants anything any more (default: at SIGTERM or Ctrl-C)', false)
    .option(
      '--give-up-after <seconds>',
      'with --once: end when the coordinator has not answered for so long (default 600); what was measured stays in the work folder',
      count('--give-up-after'),
    )
    .addHelpText(
      'after',
      `
--config names agent.yaml: server, token, agent, rounds, work, parallel, keep_logs, cache_days, cache_gb, once, give_up_after_seconds, and tasks: how each
is evaluated. Models that were fetched stay for cache_days (30) after their last use, up to cache_gb (no limit); what an open study needs always stays.`,
    )
    .action(async (flags: AgentFlags, command: Command) =>
      (await import('./agent-command.js')).runAgentCommand(command, interrupt.signal, flags),
    );

  addParetoCommands(program, action);
  addOfflineCommands(program);

  program
    .command('rebuild-task')
    .description("make one task's own model from a merge with task masks (emr, tall)")
    .argument('<dir>', 'folder of the merged model')
    .requiredOption('--base <dir>', 'folder of the base that was merged on')
    .requiredOption('--task <name>', 'the task: a contributor, or the last part of the path of a model')
    .requiredOption('--out <dir>', 'folder to make')
    .action(
      localAction(async (context, dir: string, flags: RebuildFlags) =>
        (await import('./rebuild-command.js')).runRebuild(context, dir, flags),
      ),
    );

  program
    .command('doctor')
    .description('versions, engines and their speed, limits, and whether the coordinator answers')
    .option('--fix', 'install what is missing to be fast: OpenBLAS, from PyPI', false)
    .addOption(engineOption())
    .action(action(async (context, flags: { fix: boolean }) => (await import('./doctor-command.js')).runDoctor(context, flags.fix)));

  program
    .command('demo')
    .description('a whole round on real digits: train, push, merge, pull, compare')
    .option('--out <dir>', 'where to leave models and logs (default: a new temporary folder)')
    .option('--keep', 'leave the coordinator running until Ctrl-C', false)
    .action(
      localAction(async (context, flags: { out?: string; keep: boolean }) =>
        (await import('./demo-command.js')).runDemo(context, flags.out, flags.keep),
      ),
    );

  // Listed here for --help; main() hands its arguments to the trainer, which has a command line of its own.
  program.command('train').description('the reference trainer of the demo (base, fine-tune, evaluate)').argument('[args...]');
  return program;
}

function addOfflineCommands(program: Command): void {
  const merge = program
    .command('merge')
    .description('merge offline by a recipe, without a coordinator')
    .argument('<recipe>', 'recipe file (YAML)')
    .argument('[dir]', 'output folder')
    .option('--out <dir>', 'output folder')
    .option('--out-shard-size <bytes>', 'largest output file, like 5B, 500M, 2G (default 5G)')
    .option('--force', 'replace an earlier output of tributary', false)
    .option('--dry-run', 'only say what would be done', false)
    .option('--random-seed <n>', "seed of random masks, in the place of the recipe's", count('--random-seed'))
    .addOption(engineOption())
    .option('--no-copy-tokenizer', 'leave the tokenizer files out')
    .option('--no-write-model-card', 'write no README.md (--force then does not know the folder again)')
    .addOption(new Option('--copy-tokenizer').hideHelp())
    .addOption(new Option('--write-model-card').hideHelp())
    .addHelpText('after', "\nmergekit's other flags are accepted; those without meaning here are said to have none.");
  addMergekitFlags(merge).action(
    localAction(async (context, recipe: string, dir: string | undefined, flags: MergeFlags) =>
      (await import('./merge-command.js')).runMerge(context, recipe, dir, flags),
    ),
  );

  program
    .command('extract-lora')
    .description('make a LoRA adapter of what a fine-tuned model changed')
    .argument('<finetuned>', 'checkpoint folder or safetensors file')
    .requiredOption('--base <dir>', 'folder of the model that it was fine-tuned from')
    .requiredOption('--out <dir>', 'folder to make')
    .option('--rank <n>', 'largest rank of the factors (default 32, without --energy)', count('--rank', 1))
    .option('--energy <share>', 'lowest rank that keeps this share of the squared singular values; 1 keeps all')
    .option('--modules <regex...>', 'modules that get factors: some part of the name matches (default: all but embeddings)')
    .option('--embeddings', 'factors for embeddings too', false)
    .option('--modules-to-save <names>', 'modules whose weights are kept whole: names or ends of names, with commas between')
    .option('--leave-rest', 'lose what changes and has no factors (norms, say); without it such changes are refused', false)
    .addOption(new Option('--dtype <dtype>', 'of the factors').choices(['float32', 'float16', 'bfloat16']).default('float32'))
    .option('--fan-in-fan-out', 'weights lie as (in, out) (known of GPT-2)')
    .option('--force', 'replace an earlier output of tributary', false)
    .addOption(engineOption())
    .action(
      localAction(async (context, dir: string, flags: ExtractFlags) =>
        (await import('./extract-command.js')).runExtract(context, dir, flags),
      ),
    );

  program
    .command('plan')
    .description('say what `merge` would do: tensors, warnings, memory, bytes, time')
    .argument('<recipe>', 'recipe file (YAML)')
    .option('--out-shard-size <bytes>', 'largest output file, like 5B, 500M, 2G (default 5G)')
    .addOption(engineOption())
    .action(
      localAction(async (context, recipe: string, flags: Partial<MergeFlags>) =>
        (await import('./merge-command.js')).runPlan(context, recipe, flags),
      ),
    );

  const rules = program.command('rules').description('list merge rules, or explain one').argument('[name]').action(rulesAction);
  rules.command('show').description('explain a rule; with --format yaml as a composition').argument('<name>').action(rulesAction);
}

/** The one command that knows --format yaml. */
async function rulesAction(name: string | undefined, _flags: object, command: Command): Promise<void> {
  const { localContextOf } = await import('./local-context.js');
  await (await import('./rules-command.js')).showRules(localContextOf(command, interrupt.signal, true), name);
}

function addRoundCommands(program: Command): void {
  const commands = () => import('./round-command.js');
  const round = program.command('round').description('rounds: contributions to one base, merged once');
  round
    .command('create')
    .description('open a round')
    .argument('[name]', 'its name (default: one is made up)')
    .option('--base <base>', 'base or published model, by name or digest (or base_model: base:NAME in the recipe)')
    .option('--recipe <file>', 'how to merge (YAML)')
    .option('--method <rule>', 'how to merge, when a rule without parameters will do (default fedavg)')
    .option('--quorum <n>', 'close by itself when this many contributions are accepted', count('--quorum', 1))
    .option('--min <n>', 'fewest accepted contributions a close needs (default 1)', count('--min', 1))
    .option('--deadline <when>', 'close by itself then: 90s, 30m, 2h, 3d or an ISO time')
    .action(action(async (context, name: string | undefined, flags: CreateFlags) => (await commands()).createRound(context, name, flags)));
  round
    .command('list')
    .description('all rounds')
    .action(action(async (context) => (await commands()).listRounds(context)));
  round
    .command('show')
    .description('a round and its contributors')
    .argument('<name>')
    .action(action(async (context, name: string) => (await commands()).showRound(context, name)));
  round
    .command('watch')
    .description('follow a round to its end')
    .argument('<name>')
    .action(action(async (context, name: string) => (await commands()).watchRound(context, name)));
  round
    .command('close')
    .description('stop taking contributions and merge')
    .argument('<name>')
    .option('--no-wait', 'do not wait for the model')
    .action(action(async (context, name: string, flags: { wait: boolean }) => (await commands()).closeRound(context, name, flags.wait)));
  round
    .command('cancel')
    .description('end a round without a model')
    .argument('<name>')
    .action(action(async (context, name: string) => (await commands()).cancelRound(context, name)));
  round
    .command('withdraw')
    .description('take a contribution out of an open round')
    .argument('<name>')
    .argument('<contributor>')
    .action(action(async (context, name: string, contributor: string) => (await commands()).withdraw(context, name, contributor)));
}

function onSignal(): void {
  interrupt.abort(new TributaryError('INTERRUPTED', { what: 'Stopped', fix: 'Run the same command again; it goes on where it was.' }));
}

/** What the shell gets for a mistake on the command line; help and version are no mistakes. */
function fromCommander(error: CommanderError): TributaryError | undefined {
  if (error.exitCode === 0 || error.code === 'commander.help') return undefined;
  return new TributaryError('USAGE', {
    what: error.message.replace(/^error: /, ''),
    fix: 'tributary --help, or tributary COMMAND --help, shows what there is.',
  });
}

/** `tributary ... | head`: whoever read has gone, and the work goes on in silence. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

async function main(): Promise<void> {
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  process.stdout.on('error', ignoreClosedPipe);
  process.stderr.on('error', ignoreClosedPipe);
  const wantsJson = process.argv.some(
    (argument, index) => argument === '--format=json' || (argument === 'json' && process.argv[index - 1] === '--format'),
  );
  try {
    if (process.argv[2] === 'train') {
      const { runTrainCommand } = await import('../train/command.js');
      const write =
        (stream: NodeJS.WriteStream) =>
        (text: string): void =>
          void stream.write(text);
      process.exitCode = await runTrainCommand(process.argv.slice(3), {
        stdout: write(process.stdout),
        stderr: write(process.stderr),
        signal: interrupt.signal,
      });
      return;
    }
    await buildProgram().parseAsync();
  } catch (thrown) {
    const cause = interrupt.signal.aborted ? interrupt.signal.reason : thrown;
    const error = cause instanceof CommanderError ? fromCommander(cause) : toTributaryError(cause);
    if (error === undefined) {
      exitCode = thrown instanceof CommanderError && thrown.code === 'commander.help' ? EXIT_CODE.usage : EXIT_CODE.ok;
    } else {
      const io = createIo(wantsJson ? 'json' : 'table', false);
      process.stderr.write(`${describeError(error, io.colors)}\n`);
      if (error.code === 'INTERNAL' && error.cause instanceof Error) process.stderr.write(`${error.cause.stack}\n`);
      if (wantsJson) process.stdout.write(`${JSON.stringify({ error: error.toJSON() }, null, 2)}\n`);
      exitCode = CATALOGUE[error.code].exit;
    }
  }
  process.exitCode = exitCode;
}

await main();
