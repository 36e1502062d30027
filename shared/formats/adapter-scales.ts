/** Ranks and scales of an adapter's modules, from its configuration. */
import type { AdapterConfig } from './adapter-config.js';
import { firstMatches } from './python-patterns.js';

export interface ModuleScale {
  readonly rank: number;
  /** What B x A is multiplied by. */
  readonly scale: number;
}

/** In the order of the modules. The first pattern in the order of the configuration counts, and has to match the end of the name. */
export function scalesOf(config: AdapterConfig, modules: readonly string[], where: string): ModuleScale[] {
  const { rank, alpha, rankStabilized, rankPattern, alphaPattern } = config;
  const find = (patterns: AdapterConfig['rankPattern']): number[] =>
    firstMatches(
      patterns.map(([pattern]) => pattern),
      modules,
      'end',
      where,
    );
  const ranks = find(rankPattern);
  const alphas = find(alphaPattern);
  return modules.map((_, index) => {
    const own = rankPattern[ranks[index] ?? -1]?.[1] ?? rank;
    const ownAlpha = alphaPattern[alphas[index] ?? -1]?.[1] ?? alpha;
    return { rank: own, scale: ownAlpha / (rankStabilized ? Math.sqrt(own) : own) };
  });
}
