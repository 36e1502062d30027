/**
 * The placeholders of a command. In a list of words they become text. In a shell command they become references to environment variables, quoted to
 * fit where they stand: names come over the network, and no value is ever read as shell syntax.
 */
export type PlaceholderValues = ReadonlyMap<string, string>;

/** The environment variable that carries a placeholder's value. */
export const variableOf = (placeholder: string): string => `TRIBUTARY_${placeholder.toUpperCase()}`;

const PLACEHOLDER = /\{([a-z]+)\}/g;

/** Braces around anything that is no placeholder stay. */
export function fillWord(word: string, values: PlaceholderValues): string {
  return word.replace(PLACEHOLDER, (whole, name: string) => values.get(name) ?? whole);
}

export function fillShell(command: string, values: PlaceholderValues): string {
  let filled = '';
  let quote = '';
  let at = 0;
  while (at < command.length) {
    const char = command[at] as string;
    PLACEHOLDER.lastIndex = at;
    const match = char === '{' ? PLACEHOLDER.exec(command) : null;
    const name = match?.index === at ? match[1] : undefined;
    if (match !== null && name !== undefined && values.has(name)) {
      const reference = `\${${variableOf(name)}}`;
      filled += quote === '"' ? reference : quote === "'" ? `'"${reference}"'` : `"${reference}"`;
      at += match[0].length;
      continue;
    }
    if (char === '\\' && quote !== "'") {
      filled += command.slice(at, at + 2);
      at += 2;
      continue;
    }
    if (char === quote) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
    filled += char;
    at += 1;
  }
  return filled;
}
