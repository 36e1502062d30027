/** How the weights of a graph or a LayersModel are matched with a candidate's tensors. */

/** An exact entry first, then the first pattern that fits, else the same name. */
export function tensorNameOf(weight: string, weights: Readonly<Record<string, string>>): { name: string; mapped: boolean } {
  if (Object.hasOwn(weights, weight)) return { name: weights[weight] as string, mapped: true };
  for (const [pattern, name] of Object.entries(weights)) {
    const star = pattern.indexOf('*');
    if (star < 0) continue;
    const [before, after] = [pattern.slice(0, star), pattern.slice(star + 1)];
    if (weight.length < before.length + after.length || !weight.startsWith(before) || !weight.endsWith(after)) continue;
    const middle = weight.slice(before.length, weight.length - after.length);
    return { name: name.replace('*', () => middle), mapped: false };
  }
  return { name: weight, mapped: false };
}

/** A `rows` x `columns` matrix of elements of `width` bytes, transposed. */
export function transposeBytes(from: Uint8Array, rows: number, columns: number, width: number): Uint8Array {
  const to = new Uint8Array(from.length);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const source = (row * columns + column) * width;
      const target = (column * rows + row) * width;
      for (let byte = 0; byte < width; byte += 1) to[target + byte] = from[source + byte] as number;
    }
  }
  return to;
}

const MOST_NAMES = 8;

/** For messages. */
export function someNames(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).join(', ');
  return names.length > MOST_NAMES ? `${shown} and ${names.length - MOST_NAMES} more` : shown || 'none';
}
