/** Questions in addresses, and messages as protobuf's JSON. */
import { describe, expect, it } from 'vitest';
import { enumNames, protoJson, STUDY_STATES } from '../../coordinator/http/proto-json.js';
import { readParameters, readQuestion } from '../../coordinator/http/query-string.js';
import { CandidateKind, Measurement, Study, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { Front, FrontState, Point, Scalarisation } from '../../shared/generated/tributary/v1/pareto.js';
import { expectError } from '../support/expect-error.js';

describe('questions', () => {
  it('are read', () => {
    expect(readQuestion({ weights: 'legal:2,code:0.5', scalarisation: 'chebyshev' })).toEqual({
      $case: 'preference',
      value: {
        weights: [
          { task: 'legal', weight: 2 },
          { task: 'code', weight: 0.5 },
        ],
        scalarisation: Scalarisation.CHEBYSHEV,
      },
    });
    expect(readQuestion({ constraints: 'legal>=0.9,loss<=-1e-3', objective: 'a:b:1' })).toEqual({
      $case: 'constraints',
      value: {
        constraints: [
          { task: 'legal', atLeast: 0.9 },
          { task: 'loss', atMost: -0.001 },
        ],
        objective: [{ task: 'a:b', weight: 1 }],
      },
    });
    expect(readQuestion({ nearest: 'legal:0.9' })).toEqual({ $case: 'nearest', value: { wishes: [{ task: 'legal', value: 0.9 }] } });
    expect(readQuestion({ knee: '' })).toEqual({ $case: 'knee', value: {} });
  });

  it.each([
    [{}],
    [{ weights: 'legal:1', knee: '' }],
    [{ weights: 'legal' }],
    [{ weights: 'legal:' }],
    [{ weights: 'legal:much' }],
    [{ weights: ':1' }],
    [{ weights: 'legal:1', scalarisation: 'toString' }],
    [{ constraints: 'legal=0.9' }],
    [{ constraints: 'legal>=' }],
    [{ nearest: '' }],
    [{ weight: 'legal:1' }],
  ])('that make no sense are refused: %j', async (parameters) => {
    await expectError('USAGE', () => readQuestion(parameters));
  });

  it('are asked once', async () => {
    await expectError('USAGE', () => readParameters({ weights: ['a:1', 'b:1'] }));
  });
});

it('messages have names for enums, text for 64 bits and for what is no number, and nothing for what is absent', () => {
  const measured = [Measurement.fromPartial({ task: 't', value: Number.NaN, count: 2n ** 60n, reportedAt: new Date(0) })];
  const point = Point.fromPartial({ kind: CandidateKind.SINGLE, measured, predicted: [Infinity] });
  const front = Front.fromPartial({ state: FrontState.SERVING, study: StudyState.COMPLETE, measured: [point] });
  expect(protoJson(front, enumNames('FRONT_STATE', FrontState))).toMatchObject({
    state: 'FRONT_STATE_SERVING',
    study: 'STUDY_STATE_COMPLETE',
    measured: [
      {
        kind: 'CANDIDATE_KIND_SINGLE',
        predicted: ['Infinity'],
        measured: [{ value: 'NaN', count: '1152921504606846976', reportedAt: '1970-01-01T00:00:00.000Z' }],
      },
    ],
  });
  expect(Object.keys(protoJson(Study.fromPartial({ state: StudyState.STOPPED }), STUDY_STATES) as object)).not.toContain('secondsLeft');
});
