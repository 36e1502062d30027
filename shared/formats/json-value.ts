/** JSON from strangers as values: strict, of bounded depth, and with the keys of objects in the order of the text. */
import { accept, expect, expectEnd, type JsonCursor, readObject, readString, skipValue } from './strict-json.js';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | ReadonlyMap<string, JsonValue>;

function readValue(cursor: JsonCursor): JsonValue {
  const start = cursor.at;
  // The grammar and the depth of what follows are checked once; reading it again costs little and recursion is bounded by then.
  skipValue(cursor);
  const end = cursor.at;
  cursor.at = start;
  const value = readChecked(cursor);
  cursor.at = end;
  return value;
}

function readChecked(cursor: JsonCursor): JsonValue {
  if (accept(cursor, '[')) {
    const values: JsonValue[] = [];
    if (accept(cursor, ']')) return values;
    do values.push(readChecked(cursor));
    while (accept(cursor, ','));
    expect(cursor, ']');
    return values;
  }
  const next = cursor.text[cursor.at];
  if (next === '{') {
    const entries = new Map<string, JsonValue>();
    readObject(cursor, (key) => entries.set(key, readChecked(cursor)));
    return entries;
  }
  if (next === '"') return readString(cursor);
  const start = cursor.at;
  skipValue(cursor);
  return JSON.parse(cursor.text.slice(start, cursor.at)) as null | boolean | number;
}

/** @throws StrictJsonError, also for keys that occur twice */
export function parseJsonValue(text: string): JsonValue {
  const cursor: JsonCursor = { text, at: 0 };
  const value = readValue(cursor);
  expectEnd(cursor);
  return value;
}
