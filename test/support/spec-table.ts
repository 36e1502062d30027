/** The first table of a SPEC.md (events down, states across) beside the table in code. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

type Outcome =
  | { readonly kind: 'to'; readonly state: string }
  | { readonly kind: 'stay' }
  | { readonly kind: 'refuse'; readonly code: string };

export function expectSpecTable<State extends string, Event extends string>(
  spec: URL,
  states: readonly State[],
  events: readonly Event[],
  table: Readonly<Record<State, Readonly<Record<Event, Outcome>>>>,
): void {
  const rows = readFileSync(spec, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const [head = [], , ...body] = rows.slice(0, events.length + 2);
  expect(head.slice(1)).toEqual([...states]);
  expect(body.map(([event]) => event)).toEqual([...events]);
  for (const [event, ...cells] of body) {
    const inCode = states.map((state) => {
      const outcome = table[state][event as Event];
      return outcome.kind === 'to' ? outcome.state : outcome.kind === 'stay' ? 'stay' : outcome.code;
    });
    expect(cells, event).toEqual(inCode);
  }
}
