/**
 * Directions spread over the unit simplex: what the points of a front are asked to be near to. One or two layers of Das & Dennis (1998), as
 * Deb & Jain (2014) use them: with many objectives one layer of affordable size has nothing but borders, so a second one lies inside.
 */

/** Number of points with `divisions` steps along each edge: (objectives + divisions - 1 over divisions). */
export function dasDennisSize(objectives: number, divisions: number): number {
  let size = 1;
  for (let k = 1; k <= divisions; k++) size = (size * (objectives + k - 1)) / k;
  return Math.round(size);
}

/** Every vector of multiples of 1 / divisions that adds up to 1, in lexicographic order, then drawn towards the middle by `scale`. */
export function dasDennis(objectives: number, divisions: number, scale = 1): number[][] {
  const middle = (1 - scale) / objectives;
  const found: number[][] = [];
  const steps: number[] = [];
  const fill = (left: number): void => {
    if (steps.length === objectives - 1) {
      found.push([...steps, left].map((count) => (scale * count) / Math.max(divisions, 1) + middle));
      return;
    }
    for (let count = 0; count <= left; count++) {
      steps.push(count);
      fill(left - count);
      steps.pop();
    }
  };
  if (divisions === 0) return [Array.from({ length: objectives }, () => 1 / objectives)];
  fill(divisions);
  return found;
}

/**
 * The most directions that one or two layers have within `most`; the second layer is drawn halfway to the middle, and one layer is enough
 * when it has inner points itself. Never fewer than the corners of the simplex, so more than `most` when there are more objectives than
 * that.
 * @returns rows that add up to 1
 */
export function referenceDirections(objectives: number, most: number): number[][] {
  if (objectives === 1) return [[1]];
  let divisions = 1;
  while (dasDennisSize(objectives, divisions + 1) <= most) divisions++;
  if (divisions >= objectives) return dasDennis(objectives, divisions);
  let best = { outer: divisions, inner: 0, size: 0 };
  for (let outer = divisions; outer >= 1; outer--)
    for (let inner = 0; inner <= outer; inner++) {
      const size = dasDennisSize(objectives, outer) + (inner === 0 ? 0 : dasDennisSize(objectives, inner));
      if (size <= most && size > best.size) best = { outer, inner, size };
    }
  return [...dasDennis(objectives, best.outer), ...(best.inner === 0 ? [] : dasDennis(objectives, best.inner, 0.5))];
}
