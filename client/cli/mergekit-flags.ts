/** What mergekit's users type behind `merge`: taken, so that their command lines keep working; what has no meaning here is said once. */
import { type Command, Option } from 'commander';
import { TributaryError } from '../../shared/errors/tributary-error.js';

interface ForeignFlag {
  readonly flag: string;
  /** Name of its value, if it takes one. */
  readonly value?: string;
  readonly why: string;
}

/** Without effect on the result, here as there. */
const WITHOUT_EFFECT: readonly ForeignFlag[] = [
  { flag: 'allow-crimes', why: 'models must have the same tensors' },
  { flag: 'transformers-cache', value: 'dir', why: 'models are folders' },
  { flag: 'lora-merge-cache', value: 'dir', why: 'adapters are merged as they are read, never written out' },
  { flag: 'cuda', why: 'merging runs on the processor' },
  { flag: 'read-to-gpu', why: 'merging runs on the processor' },
  { flag: 'multi-gpu', why: 'merging runs on the processor' },
  { flag: 'gpu-rich', why: 'merging runs on the processor' },
  { flag: 'low-cpu-memory', why: 'a merge never holds a model in memory' },
  { flag: 'lazy-unpickle', why: 'pickles are not read' },
  { flag: 'trust-remote-code', why: 'no code of a model is run' },
  { flag: 'clone-tensors', why: 'every tensor is written by itself' },
  { flag: 'async-write', why: 'writing never waits for reading' },
  { flag: 'write-threads', value: 'n', why: 'see --threads' },
  { flag: 'num-threads', value: 'n', why: 'see --threads' },
  { flag: 'safe-serialization', why: 'safetensors is all that is written' },
  { flag: 'verbose', why: 'progress and warnings are shown unless --quiet' },
];

const camel = (flag: string): string => flag.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

export function addMergekitFlags(command: Command): Command {
  for (const { flag, value } of WITHOUT_EFFECT) {
    const short = flag === 'verbose' ? '-v, ' : '';
    command.addOption(new Option(`${short}--${flag}${value === undefined ? '' : ` <${value}>`}`).hideHelp());
    if (value === undefined) command.addOption(new Option(`--no-${flag}`).hideHelp());
  }
  return command;
}

/** A line for those that were given. @throws USAGE for what would change the result */
export function notesOnMergekitFlags(flags: Readonly<Record<string, unknown>>): string[] {
  if (flags['safeSerialization'] === false)
    throw new TributaryError('USAGE', {
      what: 'Models are only written as safetensors',
      where: '--no-safe-serialization',
      fix: 'Leave it out: a pickle can execute code, so none is written.',
    });
  const given = WITHOUT_EFFECT.filter(({ flag, value }) =>
    value === undefined ? flags[camel(flag)] === true : flags[camel(flag)] !== undefined,
  );
  return given.map(({ flag, why }) => `--${flag} has no effect here: ${why}`);
}
