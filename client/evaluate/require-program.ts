/** Whether a command can be started at all: asked once when the agent starts, because the first candidate may be hours of fetching away. */
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { CommandConfig } from './command-config.js';

const isExecutable = async (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    async () => (await stat(path)).isFile(),
    () => false,
  );

function unavailable(what: string, where: string, fix: string): TributaryError {
  return new TributaryError('EVALUATOR_UNAVAILABLE', { what, where, fix });
}

/**
 * What a shell will find in its line only it knows; of a list of words the first is looked for, as the system would: as a path from `folder`, or in PATH.
 * @param folder where the program would run
 * @throws EVALUATOR_UNAVAILABLE
 */
export async function requireProgram(
  task: string,
  { command }: Pick<CommandConfig, 'command'>,
  folder: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder)
    throw unavailable(`the folder that the command of task ${task} runs in is not there`, folder, 'Create it, or correct cwd.');
  const [program = ''] = typeof command === 'string' ? [] : command;
  const { PATH: path } = environment;
  const isPath = program.includes('/');
  if (program === '' || program.includes('{') || (path === undefined && !isPath)) return;
  const places = isPath ? [resolve(folder, program)] : (path ?? '').split(delimiter).map((part) => resolve(folder, part, program));
  for (const place of places) if (await isExecutable(place)) return;
  throw unavailable(
    `the program ${program} of task ${task} is not there, or may not be run`,
    isPath ? resolve(folder, program) : 'PATH',
    'Check that it is installed, and that its name or path is right.',
  );
}
