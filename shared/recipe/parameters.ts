/** The value of a parameter for one tensor: mergekit's filters, gradients and order of precedence. */
import type { ParameterNumber, Parameters, ParameterValue } from './recipe.js';

/** Linear interpolation at t in [0, 1]: s = t (n - 1), between entry trunc(s) and the next. */
export function interpolate(value: ParameterNumber, t: number): number {
  if (typeof value === 'number') return value;
  const s = t * (value.length - 1);
  const low = Math.trunc(s);
  const fraction = s - low;
  const lowValue = value[low] ?? 0;
  if (fraction === 0) return lowValue;
  return (1 - fraction) * lowValue + fraction * (value[low + 1] ?? lowValue);
}

function fromScope(value: ParameterValue | undefined, tensorName: string, t: number): number | undefined {
  const found = value?.find(({ filter }) => filter === undefined || filter === '*' || tensorName.includes(filter));
  return found === undefined ? undefined : interpolate(found.value, t);
}

/** Asks the scopes in order; one without a matching case yields to the next. */
export function resolveParameter(
  name: string,
  scopes: readonly (Parameters | undefined)[],
  tensorName: string,
  t: number,
): number | undefined {
  for (const scope of scopes) {
    const value = fromScope(scope?.get(name), tensorName, t);
    if (value !== undefined) return value;
  }
  return undefined;
}
