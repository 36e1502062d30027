/**
 * Regular expressions of Python, as adapter configurations hold them, on names of modules. They come from strangers: whatever repeats anything
 * is matched under a time limit, so that a pattern made to never end ends.
 */
import { runInNewContext } from 'node:vm';
import { TributaryError } from '../errors/tributary-error.js';
import { quoteForMessage } from './strict-json.js';

/** Honest patterns take microseconds a name. */
const TIME_LIMIT_MS = 500;

/** Characters of names and what cannot repeat: such a pattern takes no longer than the name is long. */
const PLAIN = /^[\w.^$-]*$/;
/** Tests of plain patterns that are made without a limit. */
const FEW_TESTS = 100_000;

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

/** Patterns that are names, where a dot stands for any character: found by looking up, for models of ten thousand modules with one each. */
function createLiterals(): { add(pattern: string, index: number): void; find(text: string): number } {
  /** By length and places of the dots; a text with dots in those places is looked up. */
  const groups = new Map<number, Map<string, { readonly dots: readonly number[]; readonly indices: Map<string, number> }>>();
  return {
    add(pattern, index) {
      const dots = [...pattern.matchAll(/\./g)].map((match) => match.index);
      const ofLength = groups.get(pattern.length) ?? new Map<string, { dots: number[]; indices: Map<string, number> }>();
      groups.set(pattern.length, ofLength);
      const group = ofLength.get(dots.join()) ?? { dots, indices: new Map<string, number>() };
      ofLength.set(dots.join(), group);
      if (!group.indices.has(pattern)) group.indices.set(pattern, index);
    },
    find(text) {
      let first = -1;
      for (const { dots, indices } of groups.get(text.length)?.values() ?? []) {
        const masked = dots.every((at) => text[at] === '.') ? text : withDots(text, dots);
        const index = indices.get(masked);
        if (index !== undefined && (first === -1 || index < first)) first = index;
      }
      return first;
    },
  };
}

function withDots(text: string, dots: readonly number[]): string {
  const characters = text.split('');
  for (const at of dots) characters[at] = '.';
  return characters.join('');
}

/** The name, and what stands behind each of its dots. */
export function endsOf(name: string): string[] {
  return [name, ...[...name.matchAll(/\./g)].map((match) => name.slice(match.index + 1))];
}

/** Of patterns that are more than names. */
function matchExpressions(patterns: readonly string[], names: readonly string[], kind: MatchKind, where: string): number[] {
  const expressions = patterns.map((pattern) => compile(pattern, AROUND[kind], where));
  if (patterns.every((pattern) => PLAIN.test(pattern)) && patterns.length * names.length <= FEW_TESTS)
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
    const got = patterns.slice(0, 3).map((pattern) => quoteForMessage(pattern));
    throw new TributaryError(
      'ADAPTER_UNSUPPORTED',
      { what: 'the patterns take too long to match', where, got: got.join(', '), fix: 'Write the names of the modules instead.' },
      { cause: error },
    );
  }
}

/**
 * For each name the number of the first pattern that matches it, or -1.
 * @throws ADAPTER_UNSUPPORTED for patterns that cannot be used
 */
export function firstMatches(patterns: readonly string[], names: readonly string[], kind: MatchKind, where: string): number[] {
  const literals = createLiterals();
  const others: number[] = [];
  patterns.forEach((pattern, index) => {
    if (kind !== 'within' && /^[\w.-]+$/.test(pattern)) literals.add(pattern, index);
    else others.push(index);
  });
  const found = names.map((name) => {
    const all = (kind === 'whole' ? [name] : endsOf(name)).map((text) => literals.find(text)).filter((index) => index >= 0);
    return all.length === 0 ? -1 : Math.min(...all);
  });
  if (others.length === 0) return found;
  const expressions = others.map((index) => patterns[index] ?? '');
  return matchExpressions(expressions, names, kind, where).map((match, at) => {
    const [literal = -1, other = -1] = [found[at], match === -1 ? -1 : others[match]];
    return literal === -1 ? other : other === -1 ? literal : Math.min(literal, other);
  });
}
