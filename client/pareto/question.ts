/** Questions to a front as people type them: weights, constraints, wishes, coefficients. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { StudyDimension } from '../../shared/generated/tributary/v1/evaluations.js';
import {
  type ByConstraints,
  type ByPreference,
  type Constraint,
  type Preference,
  QueryRequest,
  Scalarisation,
} from '../../shared/generated/tributary/v1/pareto.js';
import { suggest } from '../../shared/util/suggest.js';

export interface QuestionFlags {
  /** `legal=2,code=1` */
  readonly prefer?: string;
  readonly chebyshev?: boolean;
  /** `legal>=0.9`, each one. */
  readonly require?: readonly string[];
  /** Of what satisfies the requirements: `legal=1,code=1`. */
  readonly best?: string;
  /** `legal=0.9,code=0.7` */
  readonly near?: string;
  readonly knee?: boolean;
}

function usage(flag: string, expected: string, got: string): never {
  throw new TributaryError('USAGE', { what: 'Not a usable value', where: flag, expected, got });
}

const NUMBER = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/;

/** `a=1,b=0.5` */
export function parsePairs(flag: string, text: string): { readonly name: string; readonly value: number }[] {
  return text.split(',').map((pair) => {
    const at = pair.lastIndexOf('=');
    const name = pair.slice(0, at).trim();
    const value = pair.slice(at + 1).trim();
    if (at < 1 || name === '' || !NUMBER.test(value)) return usage(flag, 'NAME=NUMBER,NAME=NUMBER', pair);
    return { name, value: Number(value) };
  });
}

function weightsOf(flag: string, text: string): Preference[] {
  return parsePairs(flag, text).map(({ name, value }) => {
    if (value < 0) return usage(flag, 'weights from 0', `${name}=${value}`);
    return { task: name, weight: value };
  });
}

/** `legal>=0.9` or `loss<=2` */
function parseConstraint(text: string): Constraint {
  const match = /^\s*(.+?)\s*(>=|<=)\s*(\S+)\s*$/.exec(text);
  if (match === null || !NUMBER.test(match[3] as string)) return usage('--require', 'TASK>=NUMBER or TASK<=NUMBER', text);
  const [, task, sign, number] = match as unknown as [string, string, string, string];
  const value = Number(number);
  return sign === '>=' ? { task, atLeast: value, atMost: undefined } : { task, atLeast: undefined, atMost: value };
}

/** Undefined when nothing is asked. @throws USAGE when two things are */
export function parseQuestion(round: string, flags: QuestionFlags): QueryRequest | undefined {
  const { prefer, chebyshev = false, require = [], best, near, knee = false } = flags;
  const asked = [prefer !== undefined, require.length > 0, near !== undefined, knee].filter(Boolean).length;
  if (asked > 1)
    throw new TributaryError('USAGE', { what: 'One question at a time', expected: 'one of --prefer, --require, --near, --knee' });
  if (best !== undefined && require.length === 0)
    throw new TributaryError('USAGE', { what: '--best says what to make best among what satisfies --require', expected: '--require' });
  if (chebyshev && prefer === undefined)
    throw new TributaryError('USAGE', { what: '--chebyshev is a way to weigh preferences', expected: '--prefer' });
  if (prefer !== undefined) {
    const scalarisation = chebyshev ? Scalarisation.CHEBYSHEV : Scalarisation.LINEAR;
    const preference: ByPreference = { weights: weightsOf('--prefer', prefer), scalarisation };
    return QueryRequest.fromPartial({ round, by: { $case: 'preference', value: preference } });
  }
  if (require.length > 0) {
    const constraints: ByConstraints = {
      constraints: require.map(parseConstraint),
      objective: best === undefined ? [] : weightsOf('--best', best),
    };
    return QueryRequest.fromPartial({ round, by: { $case: 'constraints', value: constraints } });
  }
  if (near !== undefined) {
    const wishes = parsePairs('--near', near).map(({ name, value }) => ({ task: name, value }));
    return QueryRequest.fromPartial({ round, by: { $case: 'nearest', value: { wishes } } });
  }
  return knee ? QueryRequest.fromPartial({ round, by: { $case: 'knee', value: {} } }) : undefined;
}

/** `alice=0.3,bob=0.5`; a parameter that is not named keeps its neutral value, a weight 0. @throws USAGE */
export function parseCoefficients(flag: string, text: string, dimensions: readonly StudyDimension[]): number[] {
  const given = new Map(parsePairs(flag, text).map(({ name, value }) => [name, value]));
  const names = dimensions.map(({ name }) => name);
  const strange = [...given.keys()].find((name) => !names.includes(name));
  if (strange !== undefined) {
    const near = suggest(strange, names);
    throw new TributaryError('USAGE', {
      what: `${strange} is no coefficient of this round`,
      where: flag,
      expected: names.join(', '),
      fix: near === undefined ? undefined : `Did you mean ${near}?`,
    });
  }
  return dimensions.map(({ name, contributor, neutral }) => given.get(name) ?? (contributor === '' ? neutral : 0));
}
