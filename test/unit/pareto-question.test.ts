import { describe, expect, it } from 'vitest';
import { parseCoefficients, parseQuestion } from '../../client/pareto/question.js';
import { StudyDimension } from '../../shared/generated/tributary/v1/evaluations.js';
import { Scalarisation } from '../../shared/generated/tributary/v1/pareto.js';
import { expectError } from '../support/expect-error.js';

const DIMENSIONS = [
  { name: 'alice', contributor: 'alice', neutral: 1 },
  { name: 'bob', contributor: 'bob', neutral: 1 },
  { name: 'lambda', contributor: '', neutral: 0.8 },
].map((dimension) => StudyDimension.fromPartial(dimension));

describe('questions on the command line', () => {
  it('weighs tasks', () => {
    expect(parseQuestion('r', { prefer: 'legal=2,code=.5' })?.by).toEqual({
      $case: 'preference',
      value: {
        weights: [
          { task: 'legal', weight: 2 },
          { task: 'code', weight: 0.5 },
        ],
        scalarisation: Scalarisation.LINEAR,
      },
    });
    const chebyshev = parseQuestion('r', { prefer: 'legal=2', chebyshev: true })?.by;
    expect(chebyshev?.$case === 'preference' ? chebyshev.value.scalarisation : undefined).toBe(Scalarisation.CHEBYSHEV);
  });

  it('bounds tasks from below and above, whatever their names', () => {
    const by = parseQuestion('r', { require: ['a=b>=0.9', ' loss <= 2e-1 '], best: 'code=1' })?.by;
    expect(by).toEqual({
      $case: 'constraints',
      value: {
        constraints: [
          { task: 'a=b', atLeast: 0.9, atMost: undefined },
          { task: 'loss', atLeast: undefined, atMost: 0.2 },
        ],
        objective: [{ task: 'code', weight: 1 }],
      },
    });
  });

  it('asks for the knee, for what is near, or nothing', () => {
    expect(parseQuestion('r', { knee: true })?.by?.$case).toBe('knee');
    expect(parseQuestion('r', { near: 'a=1,b=-2' })?.by).toEqual({
      $case: 'nearest',
      value: {
        wishes: [
          { task: 'a', value: 1 },
          { task: 'b', value: -2 },
        ],
      },
    });
    expect(parseQuestion('r', {})).toBeUndefined();
  });

  it.each([
    [{ prefer: 'legal' }, 'legal'],
    [{ prefer: 'legal=two' }, 'legal=two'],
    [{ prefer: 'legal=-1' }, 'legal=-1'],
    [{ require: ['legal=0.9'] }, 'legal=0.9'],
    [{ prefer: 'a=1', knee: true }, 'One question'],
    [{ best: 'a=1' }, '--best'],
    [{ near: 'a=1', chebyshev: true }, '--chebyshev'],
  ])('refuses %o', async (flags, mentions) => {
    const error = await expectError('USAGE', () => parseQuestion('r', flags));
    expect(error.message).toContain(mentions);
  });

  it('reads coefficients: weights that are not named are zero, parameters stay', async () => {
    expect(parseCoefficients('--at', 'bob=0.5', DIMENSIONS)).toEqual([0, 0.5, 0.8]);
    const error = await expectError('USAGE', () => parseCoefficients('--at', 'bop=0.5', DIMENSIONS));
    expect(error.details.fix).toBe('Did you mean bob?');
  });
});
