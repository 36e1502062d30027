/** The flags of `tributary pareto`. */
import type { Command } from 'commander';
import type { CommandContext } from './context.js';
import type { MaterialiseFlags, PointFlags } from './pareto-command.js';

type Action = <Args extends unknown[]>(
  body: (context: CommandContext, ...args: Args) => Promise<void>,
) => (...args: [...Args, Command]) => Promise<void>;

const EXAMPLES = `
Examples:
  tributary pareto query spring --prefer legal=2,code=1
  tributary pareto query spring --require "legal>=0.9" --require "loss<=2"
  tributary pareto query spring --near legal=0.9,code=0.7`;

const collect = (value: string, all: string[]): string[] => [...all, value];

function addQuestion(command: Command): Command {
  return command
    .option('--prefer <weights>', 'best by preference: TASK=WEIGHT,TASK=WEIGHT (others count 0)')
    .option('--chebyshev', 'with --prefer: least weighted distance to the best of every task, instead of the weighted sum')
    .option('--require <bound>', 'best of what satisfies TASK>=NUMBER or TASK<=NUMBER; may be given several times', collect, [])
    .option('--best <weights>', 'with --require: what to make best (default: the mean of all tasks)')
    .option('--near <wishes>', 'nearest to TASK=NUMBER,TASK=NUMBER')
    .option('--knee', 'where giving up a little of one task gains least of another');
}

export function addParetoCommands(program: Command, action: Action): void {
  const commands = () => import('./pareto-command.js');
  const pareto = program.command('pareto').description('trade-offs between the tasks of a round whose recipe has a map block');
  pareto
    .command('study')
    .description('how far the measuring is')
    .argument('<round>')
    .action(action(async (context, round: string) => (await commands()).showStudy(context, round)));
  pareto
    .command('stop')
    .description('end the measuring with what there is')
    .argument('<round>')
    .action(action(async (context, round: string) => (await commands()).stopStudy(context, round)));
  pareto
    .command('front')
    .description('the front: predicted and measured points, and how good the predictions are')
    .argument('<round>')
    .option('--all', 'every point, dominated ones too', false)
    .action(action(async (context, round: string, flags: { all: boolean }) => (await commands()).showFront(context, round, flags.all)));
  addQuestion(pareto.command('query').description('the best point by preference, under bounds, or nearest to a wish').argument('<round>'))
    .addHelpText('after', EXAMPLES)
    .action(action(async (context, round: string, flags: PointFlags) => (await commands()).query(context, round, flags)));
  pareto
    .command('knee')
    .description('the point where giving up a little of one task gains least of another')
    .argument('<round>')
    .action(action(async (context, round: string) => (await commands()).query(context, round, { knee: true })));
  addQuestion(
    pareto
      .command('materialise')
      .description('have a point measured, merge it for real and publish it')
      .argument('<round>')
      .requiredOption('--name <model>', 'name of the model'),
  )
    .option('--at <coefficients>', 'the point: NAME=NUMBER,NAME=NUMBER (others 0)')
    .option('--unmeasured', 'publish without waiting for agents', false)
    .option('--no-wait', 'do not wait for the model')
    .action(action(async (context, round: string, flags: MaterialiseFlags) => (await commands()).materialise(context, round, flags)));
  addQuestion(pareto.command('attribute').description('what each contribution adds to each task (Shapley values)').argument('<round>'))
    .option('--at <coefficients>', 'where: NAME=NUMBER,NAME=NUMBER (default: the plain average)')
    .action(action(async (context, round: string, flags: PointFlags) => (await commands()).showAttribution(context, round, flags)));
  pareto
    .command('what-if')
    .description('the front without some contributions')
    .argument('<round>')
    .requiredOption('--without <contributors>', 'comma-separated')
    .option('--all', 'every point', false)
    .action(
      action(async (context, round: string, flags: { without: string; all: boolean }) =>
        (await commands()).showWhatIf(context, round, flags),
      ),
    );
  addQuestion(pareto.command('export').description('the front as .csv, .json, .svg or .html').argument('<round>'))
    .requiredOption('--out <file>', 'its extension says the format')
    .option('--at <coefficients>', 'mark this point as chosen')
    .action(
      action(async (context, round: string, flags: PointFlags & { out: string }) => (await commands()).exportTo(context, round, flags)),
    );
}
