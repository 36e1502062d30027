/** Adapters extracted from fine-tuned models: what is kept is what changed, and what is lost is said. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ExtractOptions, extractLora } from '../../client/merge/extract-lora.js';
import { openAdapter } from '../../shared/formats/adapter.js';
import { type AdapterCase, applied, changesApart, engineOf, weightsOf, writeAdapterCase } from '../support/adapter-merges.js';
import { adapted, type TestAdapter, valuesOf } from '../support/adapters.js';
import { fastestEngine } from '../support/engine-choices.js';
import { expectError } from '../support/expect-error.js';
import type { Model, Values } from '../support/merge-fixture.js';
import { stream } from '../support/random-models.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'embed_tokens.weight': [20, 8],
  'layers.0.q.weight': [12, 8],
  'layers.0.q.bias': [12],
  'layers.0.v.weight': [8, 8],
  'layers.0.norm.weight': [8],
  'head.weight': [10, 8],
  'table.cls': [1, 8],
};
const names = Object.keys(SHAPES);

function moved(model: Model, changed: readonly string[], size = 0.5): Model {
  const next = stream(99);
  return Object.fromEntries(
    Object.entries(model).map(([name, tensor]) => {
      if ('bytes' in tensor || !changed.includes(name)) return [name, tensor];
      return [
        name,
        { dtype: 'F32', shape: tensor.shape ?? [], values: valuesOf(tensor).map((one) => Math.fround(one + (next() - 0.5) * size)) },
      ];
    }),
  );
}

const blank: Model = {
  ...Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => [
      name,
      { dtype: 'F32', shape, values: Array<number>(shape.reduce((a, b) => a * b, 1)).fill(0) },
    ]),
  ),
  counter: { name: 'counter', dtype: 'I64', shape: [1], bytes: new Uint8Array(8) },
};
const base = moved(blank, names, 2);
const lowRank: TestAdapter = {
  config: { r: 2, lora_alpha: 2 },
  factors: ['layers.0.q', 'layers.0.v', 'head'].map((module) => ({ module, rank: 2, scale: 1 })),
  seed: 5,
  kind: 'wide',
};

let outputs = 0;
function extract(one: AdapterCase, options: Partial<ExtractOptions> = {}) {
  outputs += 1;
  return extractLora({
    tunedDir: one.models[0] ?? '',
    baseDir: one.base,
    outDir: join(one.folder, `lora-${outputs}`),
    size: { rank: 32 },
    dtype: 'F32',
    modules: [],
    embeddings: false,
    modulesToSave: [],
    leaveRest: false,
    force: false,
    threads: 1,
    findEngine: engineOf(fastestEngine),
    version: 'test',
    ...options,
  });
}

async function off(one: AdapterCase, outDir: string, wanted: Model): Promise<number> {
  return changesApart(weightsOf(base), names, await applied(one, outDir), weightsOf(wanted));
}

describe('extract-lora', () => {
  it('gives back what was added, of its own rank', async () => {
    const tuned = adapted(base, lowRank);
    const one = writeAdapterCase(root, base, [tuned], { model_type: 'llama', architectures: ['LlamaForCausalLM'] });
    const report = await extract(one, { size: { energy: 1 - 1e-10 } });
    expect(report.tensors.map(({ tensor, rank }) => [tensor, rank])).toEqual(
      ['layers.0.q.weight', 'layers.0.v.weight', 'head.weight'].map((name) => [name, 2]),
    );
    expect(report.error).toBeLessThan(1e-6);
    expect(await off(one, report.outDir, tuned)).toBeLessThan(1e-6);
    expect(JSON.parse(readFileSync(join(report.outDir, 'adapter_config.json'), 'utf8'))).toMatchObject({
      task_type: 'CAUSAL_LM',
      base_model_name_or_path: one.base,
      r: 2,
      lora_alpha: 2,
    });
    expect(readFileSync(join(report.outDir, 'README.md'), 'utf8')).toContain('rank 2 in 3 modules');
    expect(readdirSync(one.folder).some((name) => name.startsWith('.'))).toBe(false);
  });

  it('cuts to a rank, and says what that costs', async () => {
    const tuned = moved(base, ['layers.0.q.weight', 'layers.0.v.weight']);
    const one = writeAdapterCase(root, base, [tuned]);
    const report = await extract(one, { size: { rank: 3 } });
    expect(report.rank).toEqual({ least: 3, most: 3 });
    expect(report.error / (await off(one, report.outDir, tuned))).toBeCloseTo(1, 4);
    const half = await extract(one, { size: { rank: 8 }, dtype: 'BF16' });
    expect(half.error).toBeGreaterThan(1e-4);
    expect(half.error / (await off(one, half.outDir, tuned))).toBeCloseTo(1, 2);
  });

  it('refuses to lose what has no factors, and says how to keep or lose it', async () => {
    const tuned = moved(base, ['layers.0.q.weight', 'layers.0.norm.weight', 'embed_tokens.weight', 'table.cls']);
    const one = writeAdapterCase(root, base, [tuned]);
    const { details } = await expectError('ADAPTER_UNSUPPORTED', () => extract(one));
    expect(details.got).toBe('embed_tokens.weight, layers.0.norm.weight, table.cls');
    for (const part of ['--modules-to-save embed_tokens,norm', '--leave-rest', '--embeddings']) expect(details.fix).toContain(part);
    expect(readdirSync(one.folder).filter((name) => name.includes('lora-'))).toEqual([]);

    const left = await extract(one, { leaveRest: true });
    expect(left.left.map(({ tensor }) => tensor)).toEqual(['embed_tokens.weight', 'layers.0.norm.weight', 'table.cls']);
    expect(left.error / (await off(one, left.outDir, tuned))).toBeCloseTo(1, 4);
    expect(left.left.reduce((sum, { share }) => sum + share ** 2, 0)).toBeCloseTo(left.error ** 2, 5);

    const kept = await extract(one, { embeddings: true, modulesToSave: ['norm', 'table'] });
    expect([kept.left, kept.modulesToSave]).toEqual([[], ['layers.0.norm', 'table']]);
    expect(await off(one, kept.outDir, tuned)).toBeLessThan(1e-6);
  });

  it('keeps biases, heads whole on demand, and only the modules that are named', async () => {
    const tuned = moved(base, ['layers.0.q.weight', 'layers.0.q.bias', 'layers.0.v.weight', 'head.weight']);
    const one = writeAdapterCase(root, base, [tuned]);
    const whole = await extract(one, { modulesToSave: ['head'] });
    expect([whole.biases, whole.modulesToSave, whole.modules]).toEqual([['layers.0.q.bias'], ['head'], 2]);
    expect(await off(one, whole.outDir, tuned)).toBeLessThan(1e-6);
    const some = await extract(one, { modules: [/\.q$/], leaveRest: true });
    expect(some.tensors.map(({ tensor }) => tensor)).toEqual(['layers.0.q.weight']);
    expect(some.left.map(({ tensor }) => tensor)).toEqual(['layers.0.v.weight', 'head.weight']);
    expect((await openAdapter(some.outDir)).config.targets).toEqual(['layers.0.q']);
  });

  it('knows the models whose weights lie as (in, out)', async () => {
    const shapes: Model = {
      'h.0.c_attn.weight': blank['layers.0.q.weight'] as Values,
      'h.0.c_proj.weight': blank['layers.0.v.weight'] as Values,
    };
    const from = moved(shapes, Object.keys(shapes), 2);
    const tuned = moved(from, Object.keys(shapes));
    const one = writeAdapterCase(root, from, [tuned], { model_type: 'gpt2', architectures: ['GPT2LMHeadModel'] });
    const { outDir } = await extract(one, { size: { energy: 1 } });
    const adapter = await openAdapter(outDir);
    expect(adapter.config.fanInFanOut).toBe(true);
    expect(adapter.tensors.get('base_model.model.h.0.c_attn.lora_A.weight')?.shape).toEqual([8, 12]);
    expect(changesApart(weightsOf(from), Object.keys(shapes), await applied(one, outDir), weightsOf(tuned))).toBeLessThan(1e-6);
  });

  it('refuses what makes no sense', async () => {
    const one = writeAdapterCase(root, base, [base]);
    expect((await expectError('ADAPTER_INVALID', () => extract(one))).details.what).toContain('no matrix changes');
    expect((await expectError('USAGE', () => extract(one, { modulesToSave: ['nothing'] }))).details.got).toBe('nothing');
    const counted = {
      ...moved(base, ['head.weight']),
      counter: { name: 'counter', dtype: 'I64', shape: [1], bytes: new Uint8Array(8).fill(1) },
    } as Model;
    const other = writeAdapterCase(root, base, [counted]);
    expect((await expectError('ADAPTER_UNSUPPORTED', () => extract(other))).details.got).toBe('counter');
    expect((await extract(other, { leaveRest: true })).warnings.join()).toContain('counter differs');
    const enlarged = { ...base, 'embed_tokens.weight': { dtype: 'F32', shape: [24, 8], values: Array<number>(192).fill(1) } } as Model;
    expect((await expectError('SHAPE_MISMATCH', () => extract(writeAdapterCase(root, base, [enlarged])))).details.what).toContain(
      'vocabulary',
    );
  });

  it('ends when it is told to, without a trace', async () => {
    const one = writeAdapterCase(root, base, [moved(base, ['head.weight'])]);
    const controller = new AbortController();
    controller.abort();
    await expectError('INTERRUPTED', () => extract(one, { signal: controller.signal }));
    expect(readdirSync(one.folder).filter((name) => name.includes('lora-'))).toEqual([]);
  });
});
