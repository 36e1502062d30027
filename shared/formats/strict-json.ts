/**
 * A cursor over JSON text that refuses what JSON.parse forgives: duplicate keys, deep nesting, numbers that are not plain counts.
 * Headers come from strangers: parsing stops at the first wrong byte, so a hostile text costs no more memory than its valid part.
 */

export interface JsonCursor {
  readonly text: string;
  at: number;
}

/** Thrown for any deviation; callers turn it into their own catalogue error. `at` is a UTF-16 index into the text. */
export class StrictJsonError extends Error {
  readonly at: number;
  readonly duplicateKey: string | undefined;

  constructor(message: string, at: number, duplicateKey?: string) {
    super(message);
    this.at = at;
    this.duplicateKey = duplicateKey;
  }
}

/** Nesting that `skipValue` follows before it refuses; nothing real comes near. */
const MAX_DEPTH = 32;

const QUOTE = 34;
const BACKSLASH = 92;
// oxlint-disable-next-line no-control-regex -- JSON forbids exactly these inside a string
const CONTROL = /[\u0000-\u001f]/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** A short, printable form of text that came from outside, for messages. */
export function quoteForMessage(text: string, maxLength = 80): string {
  return JSON.stringify(text.length > maxLength ? `${text.slice(0, maxLength)}…` : text);
}

function fail(cursor: JsonCursor, expected: string): never {
  const got = cursor.at >= cursor.text.length ? 'the end' : quoteForMessage(cursor.text.slice(cursor.at, cursor.at + 12));
  throw new StrictJsonError(`expected ${expected} at character ${cursor.at}, got ${got}`, cursor.at);
}

export function skipSpace(cursor: JsonCursor): void {
  const { text } = cursor;
  let at = cursor.at;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) break;
    at += 1;
  }
  cursor.at = at;
}

/** Whether the next character after white space is `char`; it is consumed if so. */
export function accept(cursor: JsonCursor, char: string): boolean {
  skipSpace(cursor);
  if (cursor.text[cursor.at] !== char) return false;
  cursor.at += 1;
  return true;
}

export function expect(cursor: JsonCursor, char: string): void {
  if (!accept(cursor, char)) fail(cursor, `'${char}'`);
}

export function readString(cursor: JsonCursor): string {
  skipSpace(cursor);
  const { text } = cursor;
  const start = cursor.at;
  if (text.charCodeAt(start) !== QUOTE) fail(cursor, 'a string');
  let end = start + 1;
  let escaped = false;
  for (;;) {
    const code = text.charCodeAt(end);
    if (code === QUOTE) break;
    if (Number.isNaN(code)) fail({ text, at: text.length }, 'the end of a string');
    if (code === BACKSLASH) {
      escaped = true;
      end += 1;
    }
    end += 1;
  }
  cursor.at = end + 1;
  const raw = text.slice(start + 1, end);
  if (!escaped) {
    if (CONTROL.test(raw)) throw new StrictJsonError(`control character in the string at character ${start}`, start);
    return raw;
  }
  let value: unknown;
  try {
    value = JSON.parse(text.slice(start, end + 1));
  } catch {
    throw new StrictJsonError(`invalid escape in the string at character ${start}`, start);
  }
  if (typeof value !== 'string' || LONE_SURROGATE.test(value)) {
    throw new StrictJsonError(`a lone surrogate in the string at character ${start}`, start);
  }
  return value;
}

/** A plain decimal count: no sign, fraction, exponent or leading zero, at most 2^53 - 1. */
export function readCount(cursor: JsonCursor): number {
  skipSpace(cursor);
  const { text } = cursor;
  const start = cursor.at;
  let end = start;
  let value = 0;
  for (;;) {
    const digit = text.charCodeAt(end) - 48;
    if (!(digit >= 0 && digit <= 9)) break;
    value = value * 10 + digit;
    end += 1;
    if (end - start > 16) break;
  }
  if (end === start) fail(cursor, 'a whole number without sign');
  if (!Number.isSafeInteger(value)) throw new StrictJsonError(`the number at character ${start} is beyond 2^53 - 1`, start);
  if (end - start > 1 && text.charCodeAt(start) === 48) fail(cursor, 'a number without leading zero');
  const next = text[end];
  if (next === '.' || next === 'e' || next === 'E') fail(cursor, 'a whole number');
  cursor.at = end;
  return value;
}

export function readCounts(cursor: JsonCursor, maxLength: number): number[] {
  expect(cursor, '[');
  const values: number[] = [];
  if (accept(cursor, ']')) return values;
  for (;;) {
    if (values.length === maxLength) throw new StrictJsonError(`more than ${maxLength} numbers at character ${cursor.at}`, cursor.at);
    values.push(readCount(cursor));
    if (accept(cursor, ']')) return values;
    expect(cursor, ',');
  }
}

/** Calls `readEntry` once a key, with the cursor at its value. Keys are compared after escapes are resolved. */
export function readObject(cursor: JsonCursor, readEntry: (key: string) => void): void {
  expect(cursor, '{');
  if (accept(cursor, '}')) return;
  // Most objects have three keys: a list is searched faster than a set is made, a hundred thousand times.
  const few: string[] = [];
  let many: Set<string> | undefined;
  for (;;) {
    skipSpace(cursor);
    const keyAt = cursor.at;
    const key = readString(cursor);
    const seen = many === undefined ? few.includes(key) : many.has(key);
    if (seen) throw new StrictJsonError(`the key ${quoteForMessage(key)} occurs twice, again at character ${keyAt}`, keyAt, key);
    if (many !== undefined) many.add(key);
    else if (few.push(key) > 8) many = new Set(few);
    expect(cursor, ':');
    readEntry(key);
    if (accept(cursor, '}')) return;
    expect(cursor, ',');
  }
}

export function expectEnd(cursor: JsonCursor): void {
  skipSpace(cursor);
  if (cursor.at !== cursor.text.length) fail(cursor, 'nothing more');
}

const SCALAR = /(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)/y;

/** Steps over one value of any kind, checking its grammar. */
export function skipValue(cursor: JsonCursor, depth = 0): void {
  if (depth > MAX_DEPTH) throw new StrictJsonError(`nested deeper than ${MAX_DEPTH} at character ${cursor.at}`, cursor.at);
  skipSpace(cursor);
  const char = cursor.text[cursor.at];
  if (char === '{') {
    readObject(cursor, () => skipValue(cursor, depth + 1));
  } else if (char === '[') {
    cursor.at += 1;
    if (accept(cursor, ']')) return;
    do skipValue(cursor, depth + 1);
    while (accept(cursor, ','));
    expect(cursor, ']');
  } else if (char === '"') {
    readString(cursor);
  } else {
    SCALAR.lastIndex = cursor.at;
    const match = SCALAR.exec(cursor.text);
    if (match === null) fail(cursor, 'a JSON value');
    cursor.at += match[0].length;
  }
}
