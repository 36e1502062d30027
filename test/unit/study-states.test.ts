/** The life of a study: the words of SPEC.md and the table in code are one and the same. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { STUDY_EVENTS, STUDY_STATES, STUDY_TABLE, type StudyEvent } from '../../coordinator/evaluation/states.js';

const SPEC = new URL('../../../coordinator/evaluation/SPEC.md', import.meta.url);

test("SPEC.md's table is the table of states.ts", () => {
  const rows = readFileSync(SPEC, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const [head = [], , ...body] = rows.slice(0, STUDY_EVENTS.length + 2);
  expect(head.slice(1)).toEqual([...STUDY_STATES]);
  expect(body.map(([event]) => event)).toEqual([...STUDY_EVENTS]);
  for (const [event, ...cells] of body) {
    const inCode = STUDY_STATES.map((state) => {
      const outcome = STUDY_TABLE[state][event as StudyEvent];
      return outcome.kind === 'to' ? outcome.state : outcome.kind === 'stay' ? 'stay' : outcome.code;
    });
    expect(cells, event).toEqual(inCode);
  }
});
