/**
 * `tributary train ...`: the reference trainer on the command line. Progress goes to stderr as plain lines; stdout gets the result, one JSON
 * document with `--format json`. The process's streams, signals and exit belong to the caller.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { EXIT_CODE } from '../../shared/errors/catalogue.js';
import { toTributaryError } from '../../shared/errors/tributary-error.js';
import { BACKEND_NAMES, type BackendName, openBackend } from './backend.js';
import { DEMO_PLAN, taskArithmeticRecipe, WEIGHTED_SUMS } from './demo-plan.js';
import { type HeldOutSplit, loadDigits } from './digits.js';
import { DOMAINS, type Domain, parseDomain } from './domains.js';
import { runExperiment } from './experiment.js';
import { checkOutputFolder, readModel, writeModel } from './model-folder.js';
import { formatScoreTable } from './score-table.js';
import { BASE_DEFAULTS, evaluate, FINE_TUNE_DEFAULTS, fineTune, type TrainContext, type TrainedModel, trainBase } from './tasks.js';

export interface TrainIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Stops the command between two training steps; nothing is written then. */
  readonly signal?: AbortSignal | undefined;
}

interface CommonOptions {
  readonly backend: BackendName | 'auto';
  readonly format: 'text' | 'json';
}

interface RunOptions extends CommonOptions {
  readonly out: string;
  readonly seed?: number;
  readonly epochs: number;
  readonly learningRate: number;
}

/** @param argv the words after `train` @returns the exit code; every failure is reported on stderr, none is thrown */
export async function runTrainCommand(argv: readonly string[], io: TrainIo): Promise<number> {
  try {
    await buildProgram(io).parseAsync([...argv], { from: 'user' });
    return EXIT_CODE.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODE.ok : EXIT_CODE.usage;
    const failure = toTributaryError(error);
    io.stderr(`error ${failure.code}: ${failure.message}\n`);
    return failure.entry.exit;
  }
}

function buildProgram(io: TrainIo): Command {
  const program = new Command('train')
    .description('Train, fine-tune and evaluate the small network of the demo on real MNIST digits.')
    .exitOverride()
    .configureOutput({ writeOut: io.stdout, writeErr: io.stderr });
  const add = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .addOption(new Option('--backend <name>', 'TensorFlow.js backend').choices(['auto', ...BACKEND_NAMES]).default('auto'))
      .addOption(new Option('--format <format>', 'what stdout gets').choices(['text', 'json']).default('text'));
  const addTraining = (command: Command, defaults: { epochs: number; learningRate: number }): Command =>
    command
      .requiredOption('--out <dir>', 'folder to write the model to; must not hold anything')
      .option('--epochs <n>', 'passes over the images', countingNumber, defaults.epochs)
      .option('--learning-rate <rate>', 'of the first step; falls linearly to 0', positiveNumber, defaults.learningRate);

  addTraining(add('base', 'Train a base model on a few images of every domain.'), BASE_DEFAULTS)
    .option('--seed <n>', 'of the split, the first weights and the order', wholeNumber, DEMO_PLAN.seed)
    .action((options: RunOptions & { seed: number }) => runBase(io, options));
  addTraining(add('fine-tune', 'Train a base model on with the images of one domain.'), FINE_TUNE_DEFAULTS)
    .requiredOption('--base <dir>', 'model to start from')
    .addOption(new Option('--domain <name>', 'whose images').choices(DOMAINS).makeOptionMandatory())
    .option('--samples <n>', "how many of the domain's own images (default: all)", countingNumber)
    .option('--seed <n>', "of the order of the images (default: the base's)", wholeNumber)
    .action((options: RunOptions & { base: string; domain: Domain; samples?: number }) => runFineTune(io, options));
  add('evaluate', 'Accuracy of a model on held-out images of the domains.')
    .requiredOption('--model <dirs...>', 'model to evaluate, or several')
    .option('--domains <names>', 'comma-separated', domainList, [...DOMAINS])
    .addOption(new Option('--split <name>', 'which held-out images').choices(['test', 'validation']).default('test'))
    .action((options: CommonOptions & { model: string[]; domains: Domain[]; split: HeldOutSplit }) => runEvaluate(io, options));
  add('experiment', "Measure the demo's plan in one process: base, contributions and merges.")
    .option('--seed <n>', 'of everything', wholeNumber, DEMO_PLAN.seed)
    .addOption(new Option('--split <name>', 'which held-out images').choices(['test', 'validation']).default('test'))
    .option('--lambdas <values>', 'task arithmetic with each of these instead of the recipes of the plan', numberList)
    .action((options: CommonOptions & { seed: number; split: HeldOutSplit; lambdas?: number[] }) => runExperimentCommand(io, options));
  return program;
}

async function openContext(io: TrainIo, options: CommonOptions): Promise<TrainContext> {
  const [backend, digits] = await Promise.all([openBackend(options.backend === 'auto' ? undefined : options.backend), loadDigits()]);
  io.stderr(`backend ${backend.backend} ${backend.version}: ${backend.reason}\n`);
  return {
    backend,
    digits,
    signal: io.signal,
    onEpoch: (epoch, meanLoss) => io.stderr(`epoch ${epoch}: loss ${meanLoss.toFixed(4)}\n`),
  };
}

function print(io: TrainIo, options: CommonOptions, document: object, text: string): void {
  io.stdout(options.format === 'json' ? `${JSON.stringify(document)}\n` : `${text}\n`);
}

async function runBase(io: TrainIo, options: RunOptions & { seed: number }): Promise<void> {
  await checkOutputFolder(options.out);
  const context = await openContext(io, options);
  const { out, seed, epochs, learningRate } = options;
  await finishTraining(io, options, context, out, await trainBase(context, { seed, epochs, learningRate }));
}

async function runFineTune(io: TrainIo, options: RunOptions & { base: string; domain: Domain; samples?: number }): Promise<void> {
  await checkOutputFolder(options.out);
  const base = await readModel(options.base);
  const context = await openContext(io, options);
  const { domain, samples, epochs, learningRate, seed = base.splitSeed } = options;
  await finishTraining(io, options, context, options.out, await fineTune(context, base, { domain, samples, seed, epochs, learningRate }));
}

async function finishTraining(
  io: TrainIo,
  options: CommonOptions,
  context: TrainContext,
  out: string,
  trained: TrainedModel,
): Promise<void> {
  await writeModel(out, trained.model);
  const { stage, epochLosses } = trained;
  const { backend, version, reason } = context.backend;
  print(
    io,
    options,
    { out, ...stage, backend: { backend, version, reason }, epoch_losses: epochLosses },
    `${out}: ${stage.stage} on ${stage.domains.join(', ')}; ${stage.samples} samples, ${stage.steps} steps`,
  );
}

/** One model gives one document, several a list of them. */
async function runEvaluate(
  io: TrainIo,
  options: CommonOptions & { model: string[]; domains: Domain[]; split: HeldOutSplit },
): Promise<void> {
  const { domains, split } = options;
  const models = [];
  for (const folder of options.model) models.push({ name: folder, model: await readModel(folder) });
  const context = await openContext(io, options);
  const rows = [];
  for (const { name, model } of models) rows.push({ name, ...(await evaluate(context, model, domains, split)) });
  const { backend, version, reason } = context.backend;
  const documents = rows.map(({ name, ...evaluation }) => ({ model: name, split, ...evaluation }));
  const about = { backend: { backend, version, reason } };
  const [only, ...others] = documents;
  print(io, options, others.length === 0 ? { ...only, ...about } : { models: documents, ...about }, formatScoreTable({ domains, rows }));
}

async function runExperimentCommand(
  io: TrainIo,
  options: CommonOptions & { seed: number; split: HeldOutSplit; lambdas?: number[] },
): Promise<void> {
  const context = await openContext(io, options);
  const recipes = options.lambdas?.map(taskArithmeticRecipe) ?? WEIGHTED_SUMS;
  const table = await runExperiment(context, { seed: options.seed, split: options.split, recipes });
  print(io, options, { seed: options.seed, ...table }, formatScoreTable(table));
}

function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number.');
}

function countingNumber(text: string): number {
  const value = wholeNumber(text);
  if (value > 0) return value;
  throw new InvalidArgumentError('It must be 1 or more.');
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('It must be a number above 0.');
}

function numberList(text: string): number[] {
  return text.split(',').map(positiveNumber);
}

function domainList(text: string): Domain[] {
  return text.split(',').map((name) => parseDomain(name.trim()));
}
