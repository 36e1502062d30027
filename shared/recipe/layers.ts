/** Which layer a tensor belongs to, read off its name; gradients in recipes are spread over layers. */

const LAYER = /(?:^|\.)(?:layers|layer|h|blocks|block|resblocks)\.(\d+)(?:\.|$)/;

interface LayerPlace {
  /** The name up to the layer's number: towers of one model are counted apart. */
  readonly stack: string;
  readonly index: number;
}

export function layerOf(tensorName: string): LayerPlace | undefined {
  const match = LAYER.exec(tensorName);
  if (match?.[1] === undefined) return undefined;
  return { stack: tensorName.slice(0, match.index), index: Number(match[1]) };
}

/** The same name in another layer. */
export function inLayer(tensorName: string, index: number): string {
  return tensorName.replace(LAYER, (match) => match.replace(/\d+/, String(index)));
}

/** Maps a tensor name to its place t in [0, 1]. */
export type LayerPosition = (tensorName: string) => number;

/**
 * t = i / (L - 1) for layer i of L, 1 when there is one layer only, 0 for tensors outside of layers (mergekit's convention).
 * @param numHiddenLayers L from config.json; otherwise, and when the names contradict it or there are several stacks, L is counted
 */
export function layerPositions(tensorNames: Iterable<string>, numHiddenLayers?: number): LayerPosition {
  const counts = new Map<string, number>();
  for (const name of tensorNames) {
    const place = layerOf(name);
    if (place !== undefined) counts.set(place.stack, Math.max(counts.get(place.stack) ?? 0, place.index + 1));
  }
  const [only] = counts;
  if (counts.size === 1 && only !== undefined && numHiddenLayers !== undefined && numHiddenLayers > only[1])
    counts.set(only[0], numHiddenLayers);
  return (tensorName) => {
    const place = layerOf(tensorName);
    if (place === undefined) return 0;
    const count = counts.get(place.stack) ?? 1;
    return count === 1 ? 1 : place.index / (count - 1);
  };
}
