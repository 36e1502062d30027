/**
 * adapter_config.json as PEFT writes it, for factors of any ranks and scale 1. Modules are listed by their full names: PEFT takes the ends of
 * names, and patterns of ranks by the end as well, the first that matches.
 */
import type { Slot } from './factor-slots.js';

export interface PeftConfig {
  readonly factors: readonly { readonly slot: Slot; readonly rank: number }[];
  /** All modules of the base, for those that must not be taken along. */
  readonly modules: Iterable<string>;
  readonly modulesToSave: readonly string[];
  readonly bias: 'none' | 'lora_only' | 'all';
  readonly baseName: string | undefined;
  readonly taskType: string | undefined;
}

/** Those of `names` that a name ends with from a dot on, without itself. */
function* endsOf(name: string, names: ReadonlySet<string> | ReadonlyMap<string, unknown>): Generator<string> {
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const end = name.slice(dot + 1);
    if (names.has(end)) yield end;
  }
}

const hasEnd = (name: string, names: ReadonlySet<string> | ReadonlyMap<string, unknown>): boolean =>
  endsOf(name, names).next().done !== true;

/** Ranks that are not `most`, and those of modules that would be taken for one of these; longer names first, so that each finds its own. */
function patternsOf(factors: PeftConfig['factors'], most: number): [string, number][] {
  const others = new Map(factors.flatMap(({ slot, rank }): [string, number][] => (rank === most ? [] : [[slot.module, rank]])));
  for (const { slot, rank } of factors) if (hasEnd(slot.module, others)) others.set(slot.module, rank);
  return [...others].sort(([a], [b]) => b.length - a.length);
}

/** Modules without factors that end like one with factors. One that is itself such an end cannot be left out without the longer one. */
function excludedModules(modules: Iterable<string>, targets: ReadonlySet<string>): string[] {
  const mistaken = [...modules].filter((module) => !targets.has(module) && hasEnd(module, targets));
  const excluded = new Set(mistaken);
  const needed = new Set([...targets].flatMap((target) => [...endsOf(target, excluded)]));
  return mistaken.filter((module) => !needed.has(module));
}

/** Objects of JavaScript put keys that are numbers first; the order of patterns counts. */
function orderedObject(entries: readonly (readonly [string, string])[], indent: string): string {
  if (entries.length === 0) return '{}';
  const lines = entries.map(([key, json]) => `${indent}  ${JSON.stringify(key)}: ${json}`);
  return `{\n${lines.join(',\n')}\n${indent}}`;
}

/** @param config with at least one module that has factors */
export function peftConfigText(config: PeftConfig): string {
  const { factors, modulesToSave, bias, baseName, taskType } = config;
  const targets = factors.map(({ slot }) => slot.module);
  const most = factors.reduce((largest, { rank }) => Math.max(largest, rank), 1);
  const patterns = orderedObject(
    patternsOf(factors, most).map(([module, rank]) => [module, `${rank}`]),
    '  ',
  );
  const excluded = excludedModules(config.modules, new Set(targets));
  const json = (value: unknown): string => JSON.stringify(value, undefined, 2).replaceAll('\n', '\n  ');
  const entries: [string, string][] = [
    ['alpha_pattern', patterns],
    ['auto_mapping', 'null'],
    ['base_model_name_or_path', json(baseName ?? null)],
    ['bias', json(bias)],
    ...(excluded.length === 0 ? [] : [['exclude_modules', json(excluded)] as [string, string]]),
    ['fan_in_fan_out', json(factors.some(({ slot }) => slot.kind === 'linear' && slot.turned))],
    ['inference_mode', 'true'],
    ['init_lora_weights', 'true'],
    ['layers_pattern', 'null'],
    ['layers_to_transform', 'null'],
    ['lora_alpha', json(most)],
    ['lora_dropout', '0.0'],
    ['modules_to_save', json(modulesToSave.length === 0 ? null : modulesToSave)],
    ['peft_type', json('LORA')],
    ['r', json(most)],
    ['rank_pattern', patterns],
    ['revision', 'null'],
    ['target_modules', json(targets)],
    ['task_type', json(taskType ?? null)],
    ['use_dora', 'false'],
    ['use_rslora', 'false'],
  ];
  return `${orderedObject(entries, '')}\n`;
}
