import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CATALOGUE, EXIT_CODE, GRPC_STATUS } from '../../shared/errors/catalogue.js';

const readme = readFileSync('README.md', 'utf8');

function rowsAfter(head: string): string[][] {
  const lines = readme.slice(readme.indexOf(head)).split('\n').slice(2);
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return lines.slice(0, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

describe('the README', () => {
  it('lists every error code with its meaning, exit code and gRPC status, and no other', () => {
    const expected = Object.entries(CATALOGUE).map(([code, { meaning, exit, status }]) => [code, meaning, `${exit}`, status]);
    expect(rowsAfter('| code | meaning | exit | gRPC status |')).toEqual(expected);
  });

  it('lists every exit code', () => {
    const listed = rowsAfter('| exit code | meaning |').map(([code]) => Number(code));
    expect(listed).toEqual(Object.values(EXIT_CODE).sort((a, b) => a - b));
  });

  it('names no gRPC status that does not exist', () => {
    for (const { status } of Object.values(CATALOGUE)) expect(GRPC_STATUS).toHaveProperty(status);
  });
});
