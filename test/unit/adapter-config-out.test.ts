/** adapter_config.json as it is written: PEFT matches modules by the ends of their names, and what is written must mean what was meant. */
import { describe, expect, it } from 'vitest';
import { factorTensors, slotOf, wholeName } from '../../shared/adapters/factor-slots.js';
import { type PeftConfig, peftConfigText } from '../../shared/adapters/peft-config.js';
import { modulesNamed, modulesOf, placeOfRest, wholeModules } from '../../shared/adapters/whole-modules.js';
import { parseAdapterConfig } from '../../shared/formats/adapter-config.js';
import { scalesOf } from '../../shared/formats/adapter-scales.js';
import { requireChosen } from '../../shared/formats/adapter-targets.js';
import { expectError } from '../support/expect-error.js';

const factor = (module: string, rank: number, turned = false) => ({ slot: { kind: 'linear' as const, module, turned }, rank });
const settings = (ranks: Readonly<Record<string, number>>, rest: Partial<PeftConfig> = {}): PeftConfig => ({
  factors: Object.entries(ranks).map(([module, rank]) => factor(module, rank)),
  modules: Object.keys(ranks),
  modulesToSave: [],
  bias: 'none',
  baseName: undefined,
  taskType: undefined,
  ...rest,
});
const read = (config: PeftConfig) => parseAdapterConfig(peftConfigText(config), 'test');

describe('ranks', () => {
  it.each([
    [{ q: 4, 'a.q': 2, 'b.a.q': 4, 'c.b.a.q': 1 }],
    [{ 'a.q': 8, 'x.a.q': 2, 'y.x.a.q': 8 }],
    [{ '0': 3, '1': 2, 'a.0': 1, 'b.0': 3, '10': 3, 'b.10': 2 }],
    [{ 'l.1.q': 1, 'l.11.q': 2, 'l.111.q': 3 }],
  ])('are those of the modules, whatever their names end like: %o', (ranks) => {
    const config = read(settings(ranks));
    const names = Object.keys(ranks);
    expect(scalesOf(config, names, 'test')).toEqual(names.map((name) => ({ rank: ranks[name as keyof typeof ranks], scale: 1 })));
    expect(config.rank).toBe(Math.max(...Object.values(ranks)));
  });
});

describe('targets', () => {
  it('are full names; modules that end like one are left out', async () => {
    const config = read(settings({ proj: 2, 'a.q': 2 }, { modules: ['proj', 'a', 'a.q', 'b', 'b.proj', 'b.a', 'b.a.q', 'c.xproj'] }));
    expect(config.targets).toEqual(['proj', 'a.q']);
    expect(config.excluded).toEqual(['b.proj', 'b.a.q']);
    expect(() => requireChosen(config, ['proj', 'a.q'], 'test')).not.toThrow();
    for (const module of ['b.proj', 'b.a.q', 'c.xproj'])
      await expectError('ADAPTER_INVALID', () => requireChosen(config, [module], 'test'));
  });

  it('are never left out themselves', () => {
    const config = read(settings({ q: 2, 'z.a.q': 2 }, { modules: ['q', 'a.q', 'z.a.q'] }));
    expect(() => requireChosen(config, ['q', 'z.a.q'], 'test')).not.toThrow();
  });

  it('say nothing that is not so', () => {
    const text = peftConfigText(
      settings({ q: 2 }, { factors: [factor('q', 2, true)], bias: 'all', modulesToSave: ['n'], taskType: 'SEQ_CLS' }),
    );
    expect(JSON.parse(text)).toMatchObject({
      fan_in_fan_out: true,
      bias: 'all',
      modules_to_save: ['n'],
      task_type: 'SEQ_CLS',
      peft_type: 'LORA',
    });
    expect(JSON.parse(text)).not.toHaveProperty('exclude_modules');
  });
});

describe('whole modules', () => {
  const names = [
    'norm.weight',
    'layers.0.in_norm.weight',
    'layers.0.in_norm.bias',
    'layers.0.q.weight',
    'layers.0.mlp.norm.weight',
    'head.weight',
  ];

  it('take along what PEFT takes for them, letter by letter', () => {
    const { modules, tensors } = wholeModules(['norm'], names);
    expect(modules).toEqual(['norm', 'layers.0.in_norm', 'layers.0.mlp.norm']);
    expect([...tensors]).toEqual(['norm.weight', 'layers.0.in_norm.weight', 'layers.0.in_norm.bias', 'layers.0.mlp.norm.weight']);
    expect(wholeModules(['layers.0.mlp'], names).tensors).toEqual(new Set(['layers.0.mlp.norm.weight']));
    expect(wholeModules([], names).modules).toEqual([]);
  });

  it('are found by their ends from a dot on', () => {
    const modules = modulesOf(names);
    expect([...modules]).toEqual([
      'norm',
      'layers.0.in_norm',
      'layers.0',
      'layers',
      'layers.0.q',
      'layers.0.mlp.norm',
      'layers.0.mlp',
      'head',
    ]);
    expect(modulesNamed('norm', modules)).toEqual(['norm', 'layers.0.mlp.norm']);
  });

  it('hold norms; biases of matrices stand by themselves', () => {
    const dimensions = new Map([
      ['q.weight', 2],
      ['norm.weight', 1],
    ]);
    const place = (name: string) => placeOfRest(name, (one) => dimensions.get(one));
    expect(place('q.bias')).toEqual({ kind: 'bias' });
    expect(place('norm.bias')).toEqual({ kind: 'module', module: 'norm' });
    expect(place('norm.weight')).toEqual({ kind: 'module', module: 'norm' });
    for (const name of ['scale', 'weight', 'a.scale', 'attn.in_proj_bias']) expect(place(name)).toEqual({ kind: 'none' });
  });
});

describe('places of factors', () => {
  const slot = (name: string, shape: readonly number[], fanInFanOut = false) => slotOf({ name, shape }, undefined, fanInFanOut);

  it('are those of PEFT', () => {
    expect(slot('a.q.weight', [6, 4])).toEqual({ kind: 'linear', module: 'a.q', turned: false });
    expect(slot('a.c_attn.weight', [4, 6], true)).toMatchObject({ turned: true });
    for (const name of ['embed_tokens', 'wte', 'word_embeddings', 'shared', 'position_embedding', 'embed_in', 'x.relative_attention_bias'])
      expect(slot(`${name}.weight`, [6, 4]), name).toMatchObject({ kind: 'embedding', turned: true });
    for (const name of ['embed_out', 'unembed', 'embedder', 'lm_head'])
      expect(slot(`${name}.weight`, [6, 4]), name).toMatchObject({ kind: 'linear' });
    expect(slot('patch_embed.weight', [6, 3, 4, 4])).toMatchObject({ kind: 'convolution' });
    expect(slot('a.conv1.weight', [6, 3, 4])).toMatchObject({ kind: 'convolution' });
    expect(slot('stem.weight', [1, 1, 3, 3])).toMatchObject({ kind: 'convolution' });
  });

  it('are none for vectors, experts in one tensor, and convolutions in groups', () => {
    expect(slot('norm.weight', [6])).toBeUndefined();
    expect(slot('experts.weight', [3, 6, 4])).toBeUndefined();
    expect(slot('a.in_proj_weight', [6, 4])).toBeUndefined();
    expect(slot('weight', [6, 4])).toBeUndefined();
    expect(slot('depthwise.weight', [6, 1, 3, 3])).toBeUndefined();
    expect(slot('a.weight', [0, 4])).toBeUndefined();
  });

  it('have their names and shapes', () => {
    const shapes = (name: string, shape: readonly number[], fanInFanOut = false) => {
      const found = slot(name, shape, fanInFanOut);
      return found === undefined ? [] : factorTensors(found, shape, 2, 'F16').map((one) => [one.name, one.shape]);
    };
    expect(shapes('q.weight', [6, 4])).toEqual([
      ['base_model.model.q.lora_A.weight', [2, 4]],
      ['base_model.model.q.lora_B.weight', [6, 2]],
    ]);
    expect(shapes('q.weight', [6, 4], true).map(([, shape]) => shape)).toEqual([
      [2, 6],
      [4, 2],
    ]);
    expect(wholeName('a.q.bias', (module) => module === 'a.q')).toBe('base_model.model.a.q.base_layer.bias');
    expect(wholeName('a.n.bias', (module) => module === 'a.q')).toBe('base_model.model.a.n.bias');
  });
});
