/** Lets so many bytes of work run at a time; what alone is more runs alone. Who asks first is served first. */

export interface MemoryBudget {
  /** Resolves when there is room. */
  take(sizeBytes: number): Promise<void>;
  giveBack(sizeBytes: number): void;
}

export function createMemoryBudget(bytes: number): MemoryBudget {
  let taken = 0;
  const waiting: { readonly size: number; readonly go: () => void }[] = [];
  const admit = (): void => {
    for (let next = waiting[0]; next !== undefined && (taken === 0 || taken + next.size <= bytes); next = waiting[0]) {
      waiting.shift();
      taken += next.size;
      next.go();
    }
  };
  return {
    take: (size) =>
      new Promise((go) => {
        waiting.push({ size, go });
        admit();
      }),
    giveBack(size) {
      taken -= size;
      admit();
    },
  };
}
