/**
 * Finds the last JSON object in what a program printed: on one line or pretty-printed over many, with any text around it. Python's NaN, Infinity
 * and -Infinity are read as those numbers, so that they can be refused by name. Time is linear in the text.
 */
import { accept, expect, type JsonCursor, readObject, readString, StrictJsonError, skipSpace } from '../../shared/formats/strict-json.js';

export type ReportedValue = null | boolean | number | string | readonly ReportedValue[] | ReportedObject;
export type ReportedObject = ReadonlyMap<string, ReportedValue>;

export interface FoundJson {
  /** The last object that is not empty. */
  readonly document?: ReportedObject | undefined;
  /** What was wrong with the last thing that began like one. */
  readonly problem?: string | undefined;
}

const MAX_DEPTH = 64;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const WORDS: ReadonlyMap<string, ReportedValue> = new Map<string, ReportedValue>([
  ['true', true],
  ['false', false],
  ['null', null],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

/** An object and its first key: what a document begins like. */
const BEGINNING = /\{\s*"(?:[^"\\\r\n]|\\.)*"\s*:/g;

export function findLastJson(text: string): FoundJson {
  let document: ReportedObject | undefined;
  let problem: string | undefined;
  let at = 0;
  for (;;) {
    BEGINNING.lastIndex = at;
    const start = BEGINNING.exec(text)?.index;
    if (start === undefined) return { document, problem };
    const cursor: JsonCursor = { text, at: start };
    try {
      document = readEntries(cursor, 1);
      problem = undefined;
      at = cursor.at;
    } catch (error) {
      if (!(error instanceof StrictJsonError)) throw error;
      problem = error.message;
      // A broken document: its inner objects are not what the program wanted to say.
      const line = text.indexOf('\n', Math.max(error.at, cursor.at));
      if (line < 0) return { document, problem };
      at = line;
    }
  }
}

function readEntries(cursor: JsonCursor, depth: number): ReportedObject {
  const entries = new Map<string, ReportedValue>();
  readObject(cursor, (key) => entries.set(key, readValue(cursor, depth)));
  return entries;
}

function readValue(cursor: JsonCursor, depth: number): ReportedValue {
  if (depth > MAX_DEPTH) throw new StrictJsonError(`nested deeper than ${MAX_DEPTH} at character ${cursor.at}`, cursor.at);
  skipSpace(cursor);
  const first = cursor.text[cursor.at];
  if (first === '"') return readString(cursor);
  if (first === '{') return readEntries(cursor, depth + 1);
  if (first === '[') {
    cursor.at += 1;
    const values: ReportedValue[] = [];
    if (accept(cursor, ']')) return values;
    do values.push(readValue(cursor, depth + 1));
    while (accept(cursor, ','));
    expect(cursor, ']');
    return values;
  }
  return readScalar(cursor);
}

function readScalar(cursor: JsonCursor): ReportedValue {
  const { text, at } = cursor;
  for (const [word, value] of WORDS) {
    if (text.startsWith(word, at)) {
      cursor.at += word.length;
      return value;
    }
  }
  NUMBER.lastIndex = at;
  const match = NUMBER.exec(text);
  if (match === null)
    throw new StrictJsonError(`expected a JSON value at character ${at}, got ${JSON.stringify(text.slice(at, at + 12))}`, at);
  cursor.at += match[0].length;
  return Number(match[0]);
}
