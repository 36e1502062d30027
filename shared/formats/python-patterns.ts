/**
 * Regular expressions of Python, as adapter configurations hold them, on names of modules. They come from strangers: whatever repeats anything
 * is matched under a time limit, so that a pattern made to never end ends.
 */
import { runInNewContext } from 'node:vm';
import { TributaryError } from '../errors/tributary-error.js';
import { quoteForMessage } from './strict-json.js';

/** Honest patterns take microseconds a name. */
const TIME_LIMIT_MS = 2_000;

/** Characters of names and what cannot repeat: such a pattern takes no longer than the name is long. */
const PLAIN = /^[\w.^$-]*$/;

/** What Python writes otherwise than JavaScript, where it can be said in JavaScript. */
function translate(pattern: string): string {
  return pattern
    .replaceAll('(?P<', '(?<')
    .replaceAll(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replaceAll(/(?<!\\)((?:\\\\)*)\\A/g, '$1^')
    .replaceAll(/(?<!\\)((?:\\\\)*)\\Z/g, '$1$$')
    .replaceAll(/\{,(\d+)\}/g, '{0,$1}');
}

function compile(pattern: string, around: readonly [string, string], where: string): RegExp {
  try {
    return new RegExp(`^${around[0]}(?:${translate(pattern)})${around[1]}`, 's');
  } catch (error) {
    throw new TributaryError(
      'ADAPTER_UNSUPPORTED',
      {
        what: 'a pattern is no regular expression, or one that only Python knows',
        where,
        got: quoteForMessage(pattern),
        fix: 'Write the names of the modules instead.',
      },
      { cause: error },
    );
  }
}

/** `whole`: the pattern is all of the name. `end`: it is the end of it, behind a dot or all. */
export type MatchKind = 'whole' | 'end' | 'within';

/** `within`: one or several parts of the name, from dot to dot. */
const AROUND: Readonly<Record<MatchKind, readonly [string, string]>> = {
  whole: ['', '$'],
  end: ['(?:.*\\.)?', '$'],
  within: ['(?:.*\\.)?', '(?:$|\\.)'],
};

/**
 * For each name the number of the first pattern that matches it, or -1.
 * @throws ADAPTER_UNSUPPORTED for patterns that cannot be used
 */
export function firstMatches(patterns: readonly string[], names: readonly string[], kind: MatchKind, where: string): number[] {
  if (patterns.length === 0) return names.map(() => -1);
  const expressions = patterns.map((pattern) => compile(pattern, AROUND[kind], where));
  if (patterns.every((pattern) => PLAIN.test(pattern)))
    return names.map((name) => expressions.findIndex((expression) => expression.test(name)));
  const sources = expressions.map(({ source }) => source);
  const script =
    'JSON.stringify((({ sources, names }) => { const all = sources.map((one) => new RegExp(one, "s"));' +
    ' return names.map((name) => all.findIndex((one) => one.test(name))); })(JSON.parse(input)))';
  try {
    // Text alone goes in and comes out.
    const found = runInNewContext(script, { input: JSON.stringify({ sources, names }) }, { timeout: TIME_LIMIT_MS }) as string;
    return JSON.parse(found) as number[];
  } catch (error) {
    throw new TributaryError(
      'ADAPTER_UNSUPPORTED',
      {
        what: 'the patterns take too long to match',
        where,
        got: patterns
          .slice(0, 3)
          .map((pattern) => quoteForMessage(pattern))
          .join(', '),
      },
      { cause: error },
    );
  }
}
