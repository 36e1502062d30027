/**
 * A YAML document as values that know where they stand, so that every complaint about a recipe can say line and column. YAML 1.1 as PyYAML
 * reads it (`yes` is true, `<<` merges), because recipes come from mergekit.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from 'yaml';
import type { ErrorCode } from '../errors/catalogue.js';
import { TributaryError } from '../errors/tributary-error.js';
import { suggest } from '../util/suggest.js';

/** A recipe is a page of text; anything far larger is a mistake (or weights). */
const MAX_RECIPE_CHARACTERS = 4_000_000;

export interface Details {
  readonly expected?: string | undefined;
  readonly got?: string | undefined;
  readonly fix?: string | undefined;
}

/** One value of the document. `path` names it in messages: `models[0].parameters.weight`. */
export interface YamlNode {
  readonly path: string;
  readonly node: Node | undefined;
  readonly source: YamlSource;
}

export interface YamlEntry {
  readonly key: string;
  readonly keyNode: YamlNode;
  readonly value: YamlNode;
}

interface YamlSource {
  readonly fileName: string;
  readonly lines: LineCounter;
  readonly document: Document;
}

export function refuse(code: ErrorCode, at: YamlNode, what: string, details: Details = {}): never {
  const offset = at.node?.range?.[0];
  const position = offset === undefined ? { line: 1, col: 1 } : at.source.lines.linePos(offset);
  throw new TributaryError(code, { what, where: `${at.source.fileName}:${position.line}:${position.col}`, ...details });
}

/** @throws RECIPE_SYNTAX with line and column */
export function parseYaml(text: string, fileName: string): YamlNode {
  if (text.length > MAX_RECIPE_CHARACTERS) {
    throw new TributaryError('RECIPE_SYNTAX', {
      what: 'too long for a recipe',
      where: fileName,
      expected: `at most ${MAX_RECIPE_CHARACTERS} characters`,
      got: `${text.length}`,
    });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, version: '1.1', prettyErrors: false, strict: true });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new TributaryError('RECIPE_SYNTAX', { what: error.message, where: `${fileName}:${line}:${col}` });
  }
  return { path: '', node: document.contents ?? undefined, source: { fileName, lines, document } };
}

function resolve(at: YamlNode): Node | undefined {
  return isAlias(at.node) ? at.node.resolve(at.source.document) : at.node;
}

/** As it is spelt in the file; strings in quotes. */
function scalarText(node: Scalar): string {
  return typeof node.value === 'string' ? JSON.stringify(node.value) : (node.source ?? JSON.stringify(node.value));
}

/** What stands there, for "got". */
export function describe(at: YamlNode): string {
  const node = resolve(at);
  if (isMap(node)) return 'a mapping';
  if (isSeq(node)) return 'a list';
  if (isScalar(node) && node.value !== null) return scalarText(node).slice(0, 80);
  return 'nothing';
}

export function isNothing(at: YamlNode): boolean {
  const node = resolve(at);
  return node === undefined || (isScalar(node) && node.value === null);
}

export function isMapping(at: YamlNode): boolean {
  return isMap(resolve(at));
}

export function isList(at: YamlNode): boolean {
  return isSeq(resolve(at));
}

function wrong(at: YamlNode, expected: string): never {
  return refuse('RECIPE_INVALID', at, `${at.path === '' ? 'the recipe' : at.path} is of the wrong kind`, { expected, got: describe(at) });
}

/** The entries of a mapping, those merged in by `<<` included. */
export function entriesOf(at: YamlNode, expected = 'a mapping'): YamlEntry[] {
  const node = resolve(at);
  if (!isMap(node)) return wrong(at, expected);
  const entries: YamlEntry[] = [];
  const merged: YamlEntry[] = [];
  for (const pair of node.items) {
    const keyNode: YamlNode = { path: at.path, node: pair.key as Node, source: at.source };
    const resolved = resolve(keyNode);
    if (!isScalar(resolved)) return refuse('RECIPE_INVALID', keyNode, 'a key must be a word', { got: describe(keyNode) });
    const key = resolved.source ?? String(resolved.value);
    const value: YamlNode = {
      path: at.path === '' ? key : `${at.path}.${key}`,
      node: (pair.value ?? undefined) as Node | undefined,
      source: at.source,
    };
    if (key === '<<') {
      const from = isList(value) ? itemsOf(value) : [value];
      for (const one of from) {
        if (resolve(one) === node) return refuse('RECIPE_INVALID', one, 'a mapping cannot be merged into itself');
        merged.push(...entriesOf({ ...one, path: at.path }));
      }
    } else {
      entries.push({ key, keyNode, value });
    }
  }
  for (const entry of merged) if (!entries.some((own) => own.key === entry.key)) entries.push(entry);
  return entries;
}

export function itemsOf(at: YamlNode, expected = 'a list'): YamlNode[] {
  const node = resolve(at);
  if (!isSeq(node)) return wrong(at, expected);
  return node.items.map((item, index) => ({ path: `${at.path}[${index}]`, node: item as Node, source: at.source }));
}

/** Text; numbers and dates keep the spelling they have in the file. */
export function textOf(at: YamlNode, expected = 'text'): string {
  const node = resolve(at);
  if (!isScalar(node) || node.value === null) return wrong(at, expected);
  // PyYAML takes yes and no for truth values, but not the letters y and n.
  if (typeof node.value === 'boolean') return /^[yn]$/i.test(node.source ?? '') ? (node.source as string) : wrong(at, expected);
  const text = typeof node.value === 'string' ? node.value : scalarText(node);
  return text.trim() === '' ? wrong(at, expected) : text;
}

const WORDS: Readonly<Record<string, number>> = { true: 1, false: 0, yes: 1, no: 0, on: 1, off: 0 };

/** A finite number; flags count 1 and 0, and quoted numbers are taken, as mergekit does. */
export function numberOf(at: YamlNode, expected = 'a number'): number {
  const node = resolve(at);
  const value = isScalar(node) ? node.value : undefined;
  let number: number | undefined;
  if (typeof value === 'number') number = value;
  else if (typeof value === 'bigint') number = Number(value);
  else if (typeof value === 'boolean') number = value ? 1 : 0;
  else if (typeof value === 'string')
    number = WORDS[value.toLowerCase()] ?? (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(value.trim()) ? Number(value) : undefined);
  if (number === undefined) return wrong(at, expected);
  if (!Number.isFinite(number)) return refuse('RECIPE_INVALID', at, `${at.path} is not finite`, { expected, got: describe(at) });
  return number;
}

/** The text of a string; undefined for everything else. */
export function wordOf(at: YamlNode): string | undefined {
  const node = resolve(at);
  return isScalar(node) && typeof node.value === 'string' ? node.value.trim() : undefined;
}

/** true, false, 1, 0, yes, no, on, off; undefined for everything else. */
export function truthOf(at: YamlNode): boolean | undefined {
  const node = resolve(at);
  const value = isScalar(node) ? node.value : undefined;
  if (typeof value === 'boolean') return value;
  const number = typeof value === 'string' ? WORDS[value.toLowerCase()] : value;
  return number === 1 ? true : number === 0 ? false : undefined;
}

export function countOf(at: YamlNode, expected: string, minimum: number): number {
  const number = numberOf(at, expected);
  if (!Number.isSafeInteger(number) || number < minimum)
    return refuse('RECIPE_INVALID', at, `${at.path} is out of range`, { expected, got: describe(at) });
  return number;
}

/** Complains about a key that does not belong here: known from elsewhere, mistyped, or unknown. */
export function refuseKey(entry: YamlEntry, known: readonly string[], later: readonly string[] = []): never {
  const where = entry.keyNode.path === '' ? 'a recipe' : entry.keyNode.path;
  if (later.includes(entry.key)) {
    refuse('RECIPE_UNSUPPORTED', entry.keyNode, `${entry.key} is not supported in this version`, {
      fix: `Supported in ${where}: ${known.join(', ')}.`,
    });
  }
  const near = suggest(entry.key, known);
  refuse('RECIPE_UNKNOWN_KEY', entry.keyNode, `${entry.key} is not a key of ${where}`, {
    expected: near === undefined ? known.join(', ') : undefined,
    fix: near === undefined ? undefined : `Did you mean ${near}?`,
  });
}
