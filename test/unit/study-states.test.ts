/** The life of a study: the words of SPEC.md and the table in code are one and the same. */
import { test } from 'vitest';
import { STUDY_EVENTS, STUDY_STATES, STUDY_TABLE } from '../../coordinator/evaluation/states.js';
import { expectSpecTable } from '../support/spec-table.js';

test("SPEC.md's table is the table of states.ts", () => {
  expectSpecTable(new URL('../../../coordinator/evaluation/SPEC.md', import.meta.url), STUDY_STATES, STUDY_EVENTS, STUDY_TABLE);
});
