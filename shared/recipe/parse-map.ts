/** Reads the `map:` block: tasks and their metrics, what varies and how far, how candidates are drawn, and when it is enough. */
import type { Budget, Direction, LinkName, Method, SamplerKind, SurrogateSettings, Task } from '../pareto/study.js';
import { suggest } from '../util/suggest.js';
import type { CandidateAccess, MapBlock, Range } from './map-block.js';
import type { RuleDescription } from './recipe.js';
import {
  countOf,
  describe,
  entriesOf,
  isNothing,
  itemsOf,
  numberOf,
  refuse,
  refuseKey,
  textOf,
  truthOf,
  wordOf,
  type YamlEntry,
  type YamlNode,
} from './yaml-node.js';

const KEYS = [
  'tasks',
  'method',
  'budget',
  'sampler',
  'coefficients',
  'parameters',
  'candidates',
  'surrogate',
  'preferences',
  'greedy_soup',
  'seed',
] as const;

const METHODS: readonly Method[] = ['map', 'bayesian', 'nested', 'adamerging', 'recycle'];
const SAMPLERS: readonly SamplerKind[] = ['sobol', 'grid', 'uniform'];
const LINKS: readonly (LinkName | 'auto')[] = ['auto', 'identity', 'sigmoid', 'softplus', 'exp'];
const ACCESSES: readonly CandidateAccess[] = ['local', 'served'];
const DIRECTIONS: Readonly<Record<string, Direction>> = {
  maximize: 'maximize',
  maximise: 'maximize',
  minimize: 'minimize',
  minimise: 'minimize',
};

interface MetricHabit {
  readonly direction: Direction;
  readonly lower?: number;
  readonly upper?: number;
}

const share: MetricHabit = { direction: 'maximize', lower: 0, upper: 1 };
const loss: MetricHabit = { direction: 'minimize', lower: 0 };

/** Metrics whose direction and bounds everybody knows. */
const METRICS: Readonly<Record<string, MetricHabit>> = {
  accuracy: share,
  acc: share,
  acc_norm: share,
  exact_match: share,
  f1: share,
  loss,
  mse: loss,
  entropy: loss,
  perplexity: { direction: 'minimize', lower: 1 },
};

/** Fewer coordinates than this leave room for every method; more would ask for tens of thousands of evaluations. */
const MOST_LAYER_GROUPS = 64;
const MOST_TASKS = 64;
/** Beyond this, candidates alone fill the memory of whoever plans them. */
const MOST_EVALUATIONS = 100_000;

/** What a question on the command line or in an address can name: commas separate tasks there, `<` and `>` begin bounds. */
const TASK_NAME = /^[^\p{C},<>]{1,100}$/u;
/** As the coordinator and agent.yaml name agents: anyone else could never measure the task. */
const AGENT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

function chosen<Word extends string>(at: YamlNode, words: readonly Word[]): Word {
  const word = wordOf(at) ?? describe(at);
  const found = words.find((one) => one === word);
  if (found !== undefined) return found;
  const near = suggest(word, words);
  return refuse('RECIPE_INVALID', at, `${at.path} has no such choice`, {
    expected: words.join(', '),
    got: describe(at),
    fix: near === undefined ? undefined : `Did you mean ${near}?`,
  });
}

/** [lower, upper]; null on a side: unbounded there. */
function boundsOf(at: YamlNode): { readonly lower?: number | undefined; readonly upper?: number | undefined } {
  const items = itemsOf(at, '[lower, upper]; null: unbounded on that side');
  const [lower, upper] = items.map((item) => (isNothing(item) ? undefined : numberOf(item)));
  if (items.length !== 2 || (lower !== undefined && upper !== undefined && lower >= upper))
    return refuse('RECIPE_INVALID', at, `${at.path} is no range`, { expected: '[lower, upper] with lower < upper', got: describe(at) });
  return { lower, upper };
}

function rangeOf(at: YamlNode): Range {
  const { lower, upper } = boundsOf(at);
  if (lower === undefined || upper === undefined)
    return refuse('RECIPE_INVALID', at, `${at.path} has to be bounded on both sides: it is the box that is sampled`, {
      expected: '[lower, upper]',
    });
  return { lower, upper };
}

function agentOf(at: YamlNode): string {
  const name = textOf(at, 'the name of an agent').trim();
  if (AGENT_NAME.test(name)) return name;
  return refuse('RECIPE_INVALID', at, `${at.path} is no name of an agent`, {
    expected: "letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 63",
    got: describe(at),
  });
}

/** `__proto__` is lost on the way through JSON and YAML readers. */
function checkTaskName({ key: name, keyNode }: YamlEntry): void {
  if (TASK_NAME.test(name) && name.trim() === name && name !== '__proto__') return;
  refuse('RECIPE_INVALID', keyNode, 'the name of a task cannot be used', {
    expected: 'at most 100 characters, without commas, < and >, line breaks and spaces at the ends',
    got: JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}...` : name),
  });
}

function parseTask(entryOfTask: YamlEntry): Task {
  checkTaskName(entryOfTask);
  const { key: name, value: at } = entryOfTask;
  let metric = 'accuracy';
  let direction: Direction | undefined;
  let bounds: { readonly lower?: number | undefined; readonly upper?: number | undefined } | undefined;
  let owner: string | undefined;
  for (const entry of isNothing(at) ? [] : entriesOf(at, '{metric, direction, bounds, evaluator}')) {
    if (entry.key === 'metric') metric = textOf(entry.value, 'the name of a metric');
    else if (entry.key === 'direction')
      direction = DIRECTIONS[wordOf(entry.value) ?? ''] ?? chosen(entry.value, ['maximize', 'minimize'] as const);
    else if (entry.key === 'bounds') bounds = isNothing(entry.value) ? {} : boundsOf(entry.value);
    else if (entry.key === 'evaluator') owner = isNothing(entry.value) ? undefined : agentOf(entry.value);
    else refuseKey(entry, ['metric', 'direction', 'bounds', 'evaluator']);
  }
  const habit = Object.hasOwn(METRICS, metric) ? METRICS[metric] : undefined;
  direction ??= habit?.direction;
  if (direction === undefined)
    return refuse('RECIPE_INVALID', at, `${at.path} does not say whether more ${metric} is better`, {
      expected: 'direction: maximize or minimize',
    });
  const { lower, upper } = bounds ?? { lower: habit?.lower, upper: habit?.upper };
  return { name, metric, direction, lower, upper, owner };
}

function parseTasks(at: YamlNode): Task[] {
  const tasks = entriesOf(at, 'a mapping: name of a task to {metric, direction, bounds, evaluator}').map(parseTask);
  if (tasks.length === 0 || tasks.length > MOST_TASKS)
    return refuse('RECIPE_INVALID', at, 'tasks cannot be so many', { expected: `1 to ${MOST_TASKS}`, got: `${tasks.length}` });
  const twice = tasks.find(({ name }, index) => tasks.findIndex((other) => other.name === name) !== index);
  return twice === undefined ? tasks : refuse('RECIPE_INVALID', at, `there are two tasks ${twice.name}`);
}

function budgetCount(at: YamlNode): number {
  const expected = `a whole number from 1 to ${MOST_EVALUATIONS}`;
  const count = countOf(at, expected, 1);
  return count <= MOST_EVALUATIONS ? count : refuse('RECIPE_INVALID', at, `${at.path} is out of range`, { expected, got: `${count}` });
}

function parseBudget(at: YamlNode): Budget {
  const expected = '{candidates: 60}, {evaluations: 240} or {minutes: 30}';
  const [entry, second] = entriesOf(at, expected);
  if (entry === undefined || second !== undefined)
    return refuse('RECIPE_INVALID', second?.keyNode ?? at, 'a budget is in one unit', { expected });
  if (entry.key === 'candidates') return { kind: 'candidates', candidates: budgetCount(entry.value) };
  if (entry.key === 'evaluations') return { kind: 'evaluations', evaluations: budgetCount(entry.value) };
  if (entry.key !== 'minutes') return refuseKey(entry, ['candidates', 'evaluations', 'minutes']);
  const minutes = numberOf(entry.value, 'a number above 0');
  if (minutes <= 0) return refuse('RECIPE_INVALID', entry.value, 'a budget has to be above 0', { expected, got: `${minutes}` });
  return { kind: 'minutes', minutes };
}

const WEIGHTS: Range = { lower: 0, upper: 1 };

function parseCoefficients(at: YamlNode): MapBlock['weights'] {
  if (wordOf(at) === 'none') return undefined;
  let range = WEIGHTS;
  let layerGroups: number | undefined;
  for (const entry of entriesOf(at, '{bounds: [0, 1], layer_groups: 3}, or none')) {
    if (entry.key === 'bounds') range = rangeOf(entry.value);
    else if (entry.key === 'layer_groups') {
      layerGroups = countOf(entry.value, `a whole number from 2 to ${MOST_LAYER_GROUPS}`, 2);
      if (layerGroups > MOST_LAYER_GROUPS)
        refuse('RECIPE_INVALID', entry.value, 'too many layer groups', { expected: `2 to ${MOST_LAYER_GROUPS}`, got: `${layerGroups}` });
    } else refuseKey(entry, ['bounds', 'layer_groups']);
  }
  return { ...range, layerGroups };
}

/** Parameters of the rule that are numbers; a weight is a coefficient. */
function parseParameters(at: YamlNode, description: RuleDescription): MapBlock['parameters'] {
  const known = description.parameters.filter(({ kind, name }) => kind === 'number' && name !== 'weight');
  return entriesOf(at, 'a mapping: name of a parameter to [lower, upper]').map((entry) => {
    const parameter = known.find(({ name }) => name === entry.key);
    if (parameter === undefined)
      return refuseKey(
        entry,
        known.map(({ name }) => name),
      );
    const range = rangeOf(entry.value);
    const { min = -Infinity, max = Infinity, integer } = parameter;
    if (integer === true) refuse('RECIPE_UNSUPPORTED', entry.keyNode, `${entry.key} is a whole number and cannot vary continuously`);
    if (range.lower < min || range.upper > max)
      refuse('RECIPE_INVALID', entry.value, `${entry.key} is out of range`, {
        expected: `${min} to ${max}`,
        got: `${range.lower} to ${range.upper}`,
      });
    return { name: entry.key, ...range };
  });
}

function numberOrAuto(at: YamlNode): number | 'auto' {
  if (wordOf(at) === 'auto') return 'auto';
  const number = numberOf(at, 'auto, or a number from 0');
  return number >= 0 ? number : refuse('RECIPE_INVALID', at, `${at.path} is negative`, { expected: 'auto, or a number from 0' });
}

const SURROGATE: SurrogateSettings = { link: 'auto', ridge: 'auto', minR2: 0.2 };

function parseSurrogate(at: YamlNode): SurrogateSettings {
  let settings = SURROGATE;
  for (const entry of entriesOf(at, '{link, ridge, min_r2}')) {
    if (entry.key === 'link') settings = { ...settings, link: chosen(entry.value, LINKS) };
    else if (entry.key === 'ridge') settings = { ...settings, ridge: numberOrAuto(entry.value) };
    else if (entry.key === 'min_r2') settings = { ...settings, minR2: numberOf(entry.value) };
    else refuseKey(entry, ['link', 'ridge', 'min_r2']);
  }
  return settings;
}

function parsePreferences(at: YamlNode, tasks: readonly Task[]): Map<string, number> {
  const names = tasks.map(({ name }) => name);
  const preferences = new Map<string, number>();
  for (const entry of entriesOf(at, 'a mapping: name of a task to a weight')) {
    if (!names.includes(entry.key)) refuseKey(entry, names);
    const weight = numberOf(entry.value, 'a number from 0');
    if (weight < 0) refuse('RECIPE_INVALID', entry.value, `${entry.value.path} is negative`, { expected: 'a number from 0' });
    preferences.set(entry.key, weight);
  }
  if ([...preferences.values()].every((weight) => weight === 0) && preferences.size === tasks.length)
    return refuse('RECIPE_INVALID', at, 'preferences are all zero', { expected: 'one of them above 0' });
  return preferences;
}

/** Why a rule has no front of the kind that is asked for; undefined when it has. */
function requireFront(at: YamlNode, description: RuleDescription, weights: MapBlock['weights']): void {
  const { name, perTask, acrossRounds, parameters } = description;
  if (perTask === true)
    refuse('RECIPE_UNSUPPORTED', at, `${name} gives a model for each task: there is no trade-off to map`, { fix: 'Choose another rule.' });
  if (acrossRounds === true)
    refuse('RECIPE_UNSUPPORTED', at, `${name} keeps a state from round to round; its candidates could not be told apart from it`, {
      fix: 'Map a rule of one round, such as task_arithmetic.',
    });
  if (weights !== undefined && !parameters.some((parameter) => parameter.name === 'weight'))
    refuse('RECIPE_INVALID', at, `${name} knows no weights of contributions`, {
      fix: 'Choose a rule with weights (task_arithmetic, ties, ...), or write coefficients: none and let parameters vary.',
    });
}

/** @param seed of the recipe, taken where the block has none */
export function parseMap(at: YamlNode, description: RuleDescription, seed: number): MapBlock {
  const entries = new Map<string, YamlNode>();
  for (const entry of entriesOf(at, 'a mapping with tasks')) {
    if (!(KEYS as readonly string[]).includes(entry.key)) refuseKey(entry, KEYS);
    if (!isNothing(entry.value)) entries.set(entry.key, entry.value);
  }
  const read = <T>(key: (typeof KEYS)[number], parse: (node: YamlNode) => T): T | undefined => {
    const node = entries.get(key);
    return node === undefined ? undefined : parse(node);
  };
  const tasks = read('tasks', parseTasks);
  if (tasks === undefined)
    return refuse('RECIPE_INVALID', at, 'the map block names no tasks', {
      expected: 'tasks: {legal: {metric: accuracy, evaluator: alice}, ...}',
    });
  const coefficients = entries.get('coefficients');
  const weights = coefficients === undefined ? WEIGHTS : parseCoefficients(coefficients);
  const parameters = read('parameters', (node) => parseParameters(node, description)) ?? [];
  if (weights === undefined && parameters.length === 0)
    return refuse('RECIPE_INVALID', at, 'nothing varies: neither coefficients nor parameters', {
      expected: 'parameters: {lambda: [0.2, 1.5]}',
    });
  requireFront(at, description, weights);
  const method = read('method', (node) => chosen(node, METHODS)) ?? 'map';
  if (method === 'adamerging' && !tasks.some(({ metric }) => metric === 'entropy'))
    return refuse('RECIPE_INVALID', at, 'adamerging lowers entropies of unlabelled inputs, and no task measures one', {
      expected: 'metric: entropy for at least one task (the others are measured at the end only)',
    });
  const access = read('candidates', (node) => chosen(node, ACCESSES)) ?? 'local';
  const greedySoup =
    read('greedy_soup', (node) => truthOf(node) ?? refuse('RECIPE_INVALID', node, 'greedy_soup is yes or no', { got: describe(node) })) ??
    false;
  if (access === 'served' && (method === 'nested' || greedySoup))
    return refuse(
      'RECIPE_INVALID',
      at,
      `${greedySoup ? 'greedy_soup' : method} measures every contribution alone, and candidates: served withholds those`,
      {
        fix: 'Let agents merge by themselves (candidates: local), or leave it out.',
      },
    );
  return {
    tasks,
    method,
    budget: read('budget', parseBudget),
    sampler: read('sampler', (node) => chosen(node, SAMPLERS)) ?? 'sobol',
    seed: read('seed', (node) => countOf(node, 'a whole number', 0)) ?? seed,
    preferences: read('preferences', (node) => parsePreferences(node, tasks)) ?? new Map(),
    greedySoup,
    withoutSingles: access === 'served' ? true : undefined,
    surrogate: read('surrogate', parseSurrogate) ?? SURROGATE,
    access,
    weights,
    parameters,
  };
}
