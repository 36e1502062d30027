import { describe, expect, it } from 'vitest';
import { createBackOff } from '../../client/agent/back-off.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';

const error = new TributaryError('EVALUATION_FAILED', { what: 'it broke' });

describe('an evaluator that fails again and again', () => {
  it('is asked less and less often, and at once after it succeeded; others are not held up', () => {
    let nowMs = 0;
    const backOff = createBackOff(() => nowMs);
    const waits: number[] = [];
    for (let failure = 0; failure < 12; failure++) {
      expect(backOff.hopeless()).toBe(failure < 10 ? undefined : error);
      backOff.failed('a', error);
      const waitMs = backOff.waitMs(['a']);
      waits.push(waitMs);
      expect(backOff.waitMs(['a', 'b'])).toBe(0);
      expect(backOff.ready(['a', 'b'])).toEqual(waitMs === 0 ? ['a', 'b'] : ['b']);
      nowMs += waitMs;
      expect(backOff.ready(['a'])).toEqual(['a']);
    }
    expect(waits).toEqual([0, 0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000]);
    backOff.failed('a', error);
    backOff.succeeded('a');
    expect([backOff.ready(['a']), backOff.hopeless()]).toEqual([['a'], undefined]);
  });
});
