import { describe, expect, it } from 'vitest';
import { poisonLines, poisonVerdict, scoreLines, sortRows, verdict } from '../../client/demo/report.js';
import { DEMO_PLAN } from '../../client/train/demo-plan.js';
import { DOMAINS } from '../../client/train/domains.js';
import type { ScoreRole, ScoreRow } from '../../client/train/score-table.js';

const row = (name: string, role: ScoreRole, average: number, worst = average - 0.1): ScoreRow => ({
  name,
  role,
  average,
  worst,
  scores: DOMAINS.map((domain) => ({ domain, correct: 1, images: 2, accuracy: average })),
});

const table = {
  domains: DOMAINS,
  split: 'test' as const,
  rows: sortRows([
    row('fedavg', 'merged', 0.7),
    row('b', 'contribution', 0.5),
    row('ties', 'merged', 0.8),
    row('base', 'base', 0.6),
    row('a', 'contribution', 0.55),
  ]),
};

const evaluation = (average: number) => ({ average, worst: average / 2, scores: [] });

const poison = {
  rows: [
    { rule: 'fedavg', evaluations: [0.8, 0.1, 0.2].map(evaluation) },
    { rule: 'median', evaluations: [0.7, 0.69, 0.68].map(evaluation) },
  ],
  nan: { code: 'NON_FINITE', what: 'w holds NaN' },
  norms: DEMO_PLAN.poison.factors.map((factor) => ({ factor, norm: Math.abs(factor) })),
};

describe('what the demo ends with', () => {
  it('has the base, then teams, then merges, the best first, in aligned columns', () => {
    const lines = scoreLines(table).split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['model', 'base', '', 'a', 'b', '', 'ties', 'fedavg']);
    expect(new Set(lines.filter((line) => line !== '').map((line) => line.length)).size).toBe(1);
  });

  it('says what happened, not what was hoped for', () => {
    expect(verdict(table)).toContain('of 2 merges 2 are better');
    const worse = { ...table, rows: table.rows.map((one) => (one.role === 'merged' ? row(one.name, 'merged', 0.3) : one)) };
    expect(verdict(worse)).toContain('NOT better');
  });

  it('puts the rule that stands up best first, and names those that fall', () => {
    const lines = poisonLines(poison).split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['rule', 'median', 'fedavg']);
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
    expect(poisonVerdict(poison)).toContain('less than 5 points under median; more under fedavg');
    expect(poisonVerdict(poison)).toContain('w holds NaN');
  });
});
