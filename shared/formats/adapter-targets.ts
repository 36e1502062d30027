/** Which modules an adapter's configuration is about, and which tensors may be in its file whole. */
import { type AdapterConfig, type ModuleChoice, refuseAdapter } from './adapter-config.js';
import { endsOf, firstMatches } from './python-patterns.js';

/** Input and output embeddings: PEFT saves them whole when the vocabulary was enlarged, or when it is told to. */
const EMBEDDING_OR_HEAD =
  /(?:^|\.)(?:embed_tokens|tok_embeddings|word_embeddings|embed_in|wte|shared|embeddings|lm_head|embed_out|output)\.weight$/;

/**
 * PEFT ignores factors of modules that its configuration leaves out; a file with such factors is not what its configuration says.
 * @throws ADAPTER_INVALID, ADAPTER_UNSUPPORTED
 */
export function requireChosen(config: AdapterConfig, modules: readonly string[], where: string): void {
  const chosen = (choice: ModuleChoice): boolean[] => {
    if (typeof choice === 'string') return firstMatches([choice], modules, 'whole', where).map((found) => found === 0);
    const ends = new Set(choice);
    return modules.map((module) => endsOf(module).some((end) => ends.has(end)));
  };
  const wanted = config.targets === undefined ? modules.map(() => true) : chosen(config.targets);
  const excluded = config.excluded === undefined ? modules.map(() => false) : chosen(config.excluded);
  const saved = firstMatches(config.modulesToSave, modules, 'within', where);
  const named = new Set(typeof config.targets === 'string' ? [] : config.targets);
  modules.forEach((module, index) => {
    const whole = named.has(module);
    const inLayer = whole || config.layers === undefined || typeof config.targets === 'string' || isInLayers(config, module);
    if (wanted[index] === true && excluded[index] !== true && saved[index] === -1 && inLayer) return;
    refuseAdapter('ADAPTER_INVALID', where, `${module} has factors, but the configuration says that it has none`, {
      expected: 'a module among target_modules (and layers_to_transform), not among exclude_modules or modules_to_save',
    });
  });
}

function isInLayers({ layers = [], layersPattern }: AdapterConfig, module: string): boolean {
  const parts = module.split('.');
  const at = parts.findIndex((part, index) => {
    if (index === 0 || index === parts.length - 1 || !/^\d+$/.test(part)) return false;
    const stack = parts[index - 1] ?? '';
    return layersPattern.length === 0 ? index > 1 : layersPattern.includes(stack);
  });
  return at >= 0 && layers.includes(Number(parts[at]));
}

/** Whether the configuration lets the file hold a tensor of the base whole. */
export function mayBeFull(config: AdapterConfig, name: string, hasFactors: (module: string) => boolean, where: string): boolean {
  const parts = name.split('.');
  const modules = parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('.'));
  const module = modules.at(-1) ?? '';
  if (config.modulesToSave.some((saved) => modules.some((one) => one.endsWith(saved)))) return true;
  if (firstMatches(config.modulesToSave, [module], 'within', where)[0] !== -1) return true;
  if (parts.at(-1) === 'bias' && (config.bias === 'all' || (config.bias === 'lora_only' && hasFactors(module)))) return true;
  return EMBEDDING_OR_HEAD.test(name);
}
