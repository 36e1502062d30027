/**
 * What of a changed model goes into an adapter whole. PEFT saves whole modules (`modules_to_save`) and biases (`bias`), nothing else; and it
 * finds modules by the ends of their names, letter by letter, so that one name can take others along.
 */

export interface WholeModules {
  /** Full names. */
  readonly modules: readonly string[];
  /** All tensors of the base in them. */
  readonly tensors: ReadonlySet<string>;
}

/** All modules that some tensor is in, however deep. */
export function modulesOf(names: Iterable<string>): Set<string> {
  const modules = new Set<string>();
  for (const name of names)
    for (let dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1)) modules.add(name.slice(0, dot));
  return modules;
}

/** Modules that a name means as PEFT's lists do: the whole name, or its end from a dot on. */
export const modulesNamed = (wanted: string, modules: Iterable<string>): string[] =>
  [...modules].filter((module) => module === wanted || module.endsWith(`.${wanted}`));

/**
 * @param wanted full names
 * @param names of all tensors of the base
 * @returns also the modules that PEFT takes for one of them because their names end alike
 */
export function wholeModules(wanted: Iterable<string>, names: readonly string[]): WholeModules {
  const ends = [...new Set(wanted)];
  if (ends.length === 0) return { modules: [], tensors: new Set() };
  const lengths = new Set(ends.map((end) => end.length));
  const known = new Set(ends);
  // What ends like a module that ends like a wanted one ends like the wanted one.
  const modules = [...modulesOf(names)].filter((module) =>
    [...lengths].some((length) => module.length >= length && known.has(module.slice(module.length - length))),
  );
  const taken = new Set(modules);
  const inside = (name: string): boolean => [...modulesOf([name])].some((module) => taken.has(module));
  return { modules, tensors: new Set(names.filter(inside)) };
}

export type RestPlace =
  /** `bias` of the configuration. */
  { readonly kind: 'bias' } | { readonly kind: 'module'; readonly module: string } | { readonly kind: 'none' };

/**
 * Where a changed tensor that has no factors can be.
 * @param dimensionsOf of a tensor of the base; undefined when there is none of that name
 */
export function placeOfRest(name: string, dimensionsOf: (name: string) => number | undefined): RestPlace {
  const at = name.lastIndexOf('.');
  const [module, last] = [name.slice(0, Math.max(0, at)), name.slice(at + 1)];
  if (module === '' || (last !== 'weight' && last !== 'bias')) return { kind: 'none' };
  // A bias beside a vector belongs to a norm, which is saved as a module.
  if (last === 'bias' && (dimensionsOf(`${module}.weight`) ?? 0) > 1) return { kind: 'bias' };
  return { kind: 'module', module };
}
