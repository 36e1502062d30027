import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportFront, frontCsv } from '../../client/pareto/export-front.js';
import { frontText } from '../../client/pareto/front-view.js';
import { plotOption } from '../../client/pareto/plot.js';
import { expectError } from '../support/expect-error.js';
import { madeUpFront } from '../support/made-up-front.js';

interface Drawn {
  readonly series: readonly { name: string; xAxisIndex: number; data: readonly { value: readonly number[]; name: string }[] }[];
  readonly grid: readonly object[];
}

const drawn = (...args: Parameters<typeof plotOption>): Drawn => plotOption(...args) as unknown as Drawn;

describe('a front as a file', () => {
  it.each([1, 2, 4])('draws every pair of %i tasks once, with the references by name', (tasks) => {
    const front = madeUpFront(tasks);
    const { series, grid } = drawn(front, front.predicted[0]);
    expect(grid).toHaveLength(tasks <= 2 ? 1 : (tasks * (tasks - 1)) / 2);
    for (const name of ['base', 'single models', 'plain average', 'chosen', 'predicted front', 'measured', 'measured, dominated'])
      expect(series.filter((one) => one.name === name)).toHaveLength(grid.length);
    const points = series.filter(({ xAxisIndex, name }) => xAxisIndex === 0 && name !== 'chosen').flatMap(({ data }) => data);
    expect(points).toHaveLength(front.measured.length + front.predicted.length);
  });

  it('names the axes of one task inside of the picture', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'tributary-front-'));
    await exportFront(madeUpFront(1), undefined, join(dir, 'f.svg'));
    expect(readFileSync(join(dir, 'f.svg'), 'utf8')).toMatch(/<text [^>]*text-anchor="middle"[^>]*>order<\/text>/);
  });

  it('puts values where they belong', () => {
    const front = madeUpFront(2);
    const base = drawn(front, undefined).series.find(({ name }) => name === 'base');
    expect(base?.data[0]?.value).toEqual(front.measured[0]?.measured.map(({ value }) => value));
  });

  it('names of strangers can neither be markup nor formulas', async () => {
    const front = madeUpFront(2, ['</script><img src=x>', '=1+1']);
    const dir = mkdtempSync(join(tmpdir(), 'tributary-front-'));
    await exportFront(front, undefined, join(dir, 'front.html'));
    const page = readFileSync(join(dir, 'front.html'), 'utf8');
    const ours = page.slice(page.indexOf('const chart'));
    expect(ours.match(/<\/script>/g)).toHaveLength(1);
    expect(page.match(/<\/script>/g)).toHaveLength(2);
    expect(ours.includes('<img')).toBe(false);
    expect(frontCsv(front, undefined)).toContain(',measured =1+1');
    expect(frontCsv(madeUpFront(1, ['"a,b"']), undefined)).toContain('"predicted ""a,b"""');
  });

  it('writes what the extension says, and nothing half', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'tributary-front-'));
    const front = madeUpFront(3);
    for (const name of ['f.svg', 'f.json', 'f.csv', 'f.html']) await exportFront(front, front.predicted[3], join(dir, name));
    expect(readdirSync(dir).sort()).toEqual(['f.csv', 'f.html', 'f.json', 'f.svg']);
    expect(readFileSync(join(dir, 'f.svg'), 'utf8')).toMatch(/^<svg[\s\S]*team2[\s\S]*<\/svg>/);
    const document = JSON.parse(readFileSync(join(dir, 'f.json'), 'utf8')) as { measured: object[]; chosen: { kind: string } };
    expect(document.measured).toHaveLength(front.measured.length);
    expect(document.chosen.kind).toBe('predicted');
    const rows = readFileSync(join(dir, 'f.csv'), 'utf8').trimEnd().split('\r\n');
    expect(rows).toHaveLength(1 + front.measured.length + front.predicted.length + 1);
    await expectError('USAGE', () => exportFront(front, undefined, join(dir, 'f.pdf')));
  });

  it('shows a dozen predicted points, and all of them when asked', () => {
    const front = madeUpFront(2);
    const lines = (text: string): number => text.split('\n').filter((line) => line.startsWith('predicted ')).length;
    expect(lines(frontText(front, false))).toBe(12 + 1);
    expect(lines(frontText(front, true))).toBe(40 + 1);
  });
});
