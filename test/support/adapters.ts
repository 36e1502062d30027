/** LoRA adapters in a line, and the full checkpoints that they amount to, computed by the textbook: base + scale x B x A in fp64, rounded once. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MergeDType } from '../../shared/formats/tensor.js';
import { type Model, toTensors, type Values } from './merge-fixture.js';
import { stream } from './random-models.js';
import { productElements } from './reference/product.js';
import { decode, encode } from './scalar-reference.js';
import { safetensorsBytes, type TestTensor } from './write-checkpoint.js';

export interface TestFactors {
  /** As the base calls it, without `.weight`. */
  readonly module: string;
  readonly rank: number;
  /** What the test expects of the configuration. */
  readonly scale: number;
  readonly transposed?: boolean | undefined;
  readonly dtype?: MergeDType | undefined;
  readonly embedding?: boolean | undefined;
  /** As the file calls it, when it is not the module. */
  readonly key?: string | undefined;
}

export interface TestAdapter {
  /** Beside peft_type; target_modules are the modules with factors if nothing is said. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly factors: readonly TestFactors[];
  /** Under the names of the base; `fileNames` says how the file calls them. */
  readonly full?: Model | undefined;
  readonly fileNames?: Readonly<Record<string, string>> | undefined;
  readonly seed: number;
  /** `grid`: numbers whose products and sums are exact in fp32. */
  readonly kind?: 'grid' | 'wide' | undefined;
  /** Of the keys. */
  readonly prefix?: string | undefined;
  /** Name of the adapter within the keys. */
  readonly adapterName?: string | undefined;
  /** Of safetensors. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

interface BuiltFactors extends TestFactors {
  readonly left: Values;
  readonly right: Values;
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

function shapeOf(base: Model, name: string): readonly number[] {
  const tensor = base[name];
  if (tensor === undefined) throw new Error(`the base has no ${name}`);
  return tensor.shape ?? [];
}

/** Numbers of both factors; the same for the same seed and place. */
function build(base: Model, { factors, seed, kind = 'grid' }: TestAdapter): BuiltFactors[] {
  return factors.map((one, index) => {
    const next = stream(seed * 1000 + index);
    const [out = 0, ...inner] = shapeOf(base, `${one.module}.weight`);
    const [rows, columns] = one.transposed === true ? [sizeOf(inner), out] : [out, sizeOf(inner)];
    const dtype = one.dtype ?? 'F32';
    const numbers = (shape: readonly number[]): Values => {
      const values = Array.from({ length: sizeOf(shape) }, () => {
        const value = kind === 'grid' ? Math.round((next() * 2 - 1) * 4) / 4 : (next() + next() - 1) * 0.3;
        return decode(dtype, encode(dtype, value));
      });
      return { dtype, shape, values };
    };
    const kernel = one.transposed === true ? [] : inner.slice(1);
    const left = numbers([rows, one.rank, ...kernel.map(() => 1)]);
    const right = numbers([one.rank, ...(one.transposed === true ? [columns] : inner)]);
    return { ...one, left, right };
  });
}

/** The folder of an adapter; returns its path. */
export function writeAdapter(folder: string, base: Model, adapter: TestAdapter): string {
  const { config, factors, full = {}, fileNames = {}, prefix = 'base_model.model.', adapterName, metadata = {} } = adapter;
  const middle = adapterName === undefined ? '' : `.${adapterName}`;
  const tensors: Record<string, Values | TestTensor> = {};
  for (const { module, key = module, embedding = false, left, right } of build(base, adapter)) {
    const [a, b] = embedding ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A', 'lora_B'];
    const end = embedding ? middle : `${middle}.weight`;
    tensors[`${prefix}${key}.${a}${end}`] = right;
    tensors[`${prefix}${key}.${b}${end}`] = left;
  }
  for (const [name, tensor] of Object.entries(full)) tensors[`${prefix}${fileNames[name] ?? name}`] = tensor;
  const written = { peft_type: 'LORA', target_modules: factors.map(({ module }) => module), ...config };
  return writeAdapterFiles(folder, written, toTensors(tensors), metadata);
}

export function writeAdapterFiles(
  folder: string,
  config: object | string,
  tensors: readonly TestTensor[],
  metadata: Readonly<Record<string, string>> = {},
): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'adapter_config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  writeFileSync(join(folder, 'adapter_model.safetensors'), safetensorsBytes(tensors, new Map(Object.entries(metadata))));
  return folder;
}

export function valuesOf(tensor: Values | TestTensor): number[] {
  if ('bytes' in tensor) throw new Error('a tensor of bytes has no numbers');
  const { dtype, bits, values = [] } = tensor;
  return bits === undefined ? [...values] : bits.map((one) => decode(dtype, one));
}

/** The checkpoint that base and adapter make, as F32; tensors of bytes stay. */
export function adapted(base: Model, adapter: TestAdapter): Model {
  const whole: Record<string, Values | TestTensor> = {};
  for (const [name, tensor] of Object.entries(base))
    whole[name] = 'bytes' in tensor ? tensor : { dtype: 'F32', shape: tensor.shape ?? [], values: valuesOf(tensor) };
  for (const [name, tensor] of Object.entries(adapter.full ?? {})) whole[name] = tensor;
  for (const { module, rank, scale, transposed, left, right } of build(base, adapter)) {
    const name = `${module}.weight`;
    const rows = left.shape?.[0] ?? 0;
    const columns = sizeOf(right.shape?.slice(1) ?? []);
    const numbers = { left: left.values ?? [], right: right.values ?? [], rows, rank, columns, scale, transposed };
    const product = productElements(numbers);
    const old = base[name];
    if (old === undefined) continue;
    const values = valuesOf(old).map((value, index) => Math.fround(value + (product[index] ?? 0)));
    whole[name] = { dtype: 'F32', shape: old.shape ?? [], values };
  }
  return whole;
}
