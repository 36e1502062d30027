/** Questions about a front as they stand in an address: `weights=legal:2,code:1`, `constraints=legal>=0.9`, `nearest=legal:0.9`, `knee`. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Constraint, type Preference, type QueryRequest, Scalarisation } from '../../shared/generated/tributary/v1/pareto.js';
import { suggest } from '../../shared/util/suggest.js';

/** Each at most once. */
export type Parameters = Readonly<Record<string, string | undefined>>;

const QUESTIONS = ['weights', 'constraints', 'nearest', 'knee'] as const;
const KNOWN = [...QUESTIONS, 'scalarisation', 'objective'] as const;

const SCALARISATIONS: Readonly<Record<string, Scalarisation>> = {
  linear: Scalarisation.LINEAR,
  chebyshev: Scalarisation.CHEBYSHEV,
};

function refuse(what: string, expected: string, got: string, fix?: string): never {
  throw new TributaryError('USAGE', { what, expected, got, fix });
}

/** @throws USAGE for a parameter that is given twice */
export function readParameters(query: unknown): Parameters {
  const entries = Object.entries(query as Record<string, string | string[]>);
  for (const [name, value] of entries) if (typeof value !== 'string') refuse(`${name} is given twice`, 'one value', value.join(' and '));
  return Object.fromEntries(entries) as Parameters;
}

/** @throws USAGE for a parameter that means nothing here */
export function requireKnown(parameters: Parameters, known: readonly string[]): void {
  for (const name of Object.keys(parameters)) {
    if (known.includes(name)) continue;
    const near = suggest(name, known);
    refuse(
      `There is no parameter ${name} here`,
      known.join(', ') || 'none',
      name,
      near === undefined ? undefined : `Did you mean ${near}?`,
    );
  }
}

export function readNumber(text: string, what: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : refuse(`${what} is no number`, 'a number', text);
}

function readPairs(text: string, what: string): { task: string; value: number }[] {
  return text.split(',').map((part) => {
    const colon = part.lastIndexOf(':');
    if (colon <= 0) return refuse(`${what} cannot be read`, 'TASK:NUMBER, separated by commas', part);
    return { task: part.slice(0, colon), value: readNumber(part.slice(colon + 1), `${what} of ${part.slice(0, colon)}`) };
  });
}

const readWeights = (text: string, what: string): Preference[] => readPairs(text, what).map(({ task, value }) => ({ task, weight: value }));

function readConstraints(text: string): Constraint[] {
  return text.split(',').map((part) => {
    const match = /^(.+?)(>=|<=)(.+)$/.exec(part);
    const [, task, side, number] = match ?? [];
    if (task === undefined || number === undefined) return refuse('constraints cannot be read', 'TASK>=NUMBER or TASK<=NUMBER', part);
    const bound = readNumber(number, `the bound of ${task}`);
    return { task: task.trim(), ...(side === '>=' ? { atLeast: bound } : { atMost: bound }) };
  });
}

/** @throws USAGE */
export function readQuestion(parameters: Parameters): NonNullable<QueryRequest['by']> {
  requireKnown(parameters, KNOWN);
  const asked = QUESTIONS.filter((name) => parameters[name] !== undefined);
  const [question] = asked;
  if (question === undefined || asked.length > 1) return refuse('A query asks one question', QUESTIONS.join(', '), asked.join(' and '));
  const { [question]: text = '', scalarisation = 'linear', objective } = parameters;
  switch (question) {
    case 'weights': {
      const way = Object.hasOwn(SCALARISATIONS, scalarisation) ? SCALARISATIONS[scalarisation] : undefined;
      if (way === undefined) return refuse('There is no such scalarisation', Object.keys(SCALARISATIONS).join(', '), scalarisation);
      return { $case: 'preference', value: { weights: readWeights(text, 'the weight'), scalarisation: way } };
    }
    case 'constraints':
      return {
        $case: 'constraints',
        value: { constraints: readConstraints(text), objective: objective === undefined ? [] : readWeights(objective, 'the objective') },
      };
    case 'nearest':
      return { $case: 'nearest', value: { wishes: readPairs(text, 'the wish') } };
    case 'knee':
      return { $case: 'knee', value: {} };
  }
}
