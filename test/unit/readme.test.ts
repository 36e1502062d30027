import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadAgentConfig } from '../../client/agent/agent-config.js';
import { CATALOGUE, EXIT_CODE, GRPC_STATUS } from '../../shared/errors/catalogue.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { tempDir } from '../support/temp-dir.js';

const readme = readFileSync('README.md', 'utf8');

/** YAML in fences that has this line. */
function yamlWith(line: string): string {
  const blocks = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  return blocks.find((text) => text.includes(line)) ?? '';
}

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

  it('shows a map block and an agent that are what they say', () => {
    const { map } = parseRecipe(yamlWith('\nmap:'), { fileName: 'README.md' });
    expect(map?.tasks.map(({ name, direction, owner }) => [name, direction, owner])).toEqual([
      ['legal', 'maximize', 'alice'],
      ['code', 'minimize', 'bob'],
      ['chat', 'maximize', undefined],
    ]);
    const file = join(tempDir(), 'agent.yaml');
    writeFileSync(file, yamlWith('\nagent:'));
    const config = loadAgentConfig(file);
    expect(config.agent).toBe('alice');
    expect([...config.tasks.keys()]).toEqual(['legal']);
  });
});
