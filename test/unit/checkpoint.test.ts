import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { encodeCheckpointIndex } from '../../shared/formats/checkpoint-index.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';
import { f32Tensor, safetensorsBytes, writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();
let count = 0;

function folderWith(files: Record<string, string | Uint8Array>): string {
  count += 1;
  const folder = join(root, `model-${count}`);
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

const a = f32Tensor('a', [1, 2]);
const b = f32Tensor('b', [3]);
const shardA = safetensorsBytes([a]);
const shardB = safetensorsBytes([b]);
const [nameA, nameB] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
const index = (map: Record<string, string>) => encodeCheckpointIndex(new Map(Object.entries(map)), 12);
const INDEX = 'model.safetensors.index.json';

describe('openCheckpoint', () => {
  it('reads a folder with model.safetensors, its header bytes and its sidecars', async () => {
    const folder = writeCheckpoint(join(root, 'single'), [a, b], {
      'config.json': '{}',
      'tokenizer.json': '{}',
      'tokenizer.model': 'x',
      'chat_template.jinja': 'x',
      'README.md': 'x',
      '.hidden.json': 'x',
      'modeling_x.py': 'x',
      'training_args.bin': 'x',
    });
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.sidecars.map((file) => file.name)).toEqual([
      'chat_template.jinja',
      'config.json',
      'tokenizer.json',
      'tokenizer.model',
    ]);
    const [shard] = checkpoint.shards;
    const headerLength = shard?.headerBytes.length ?? 0;
    expect(safetensorsBytes([a, b]).subarray(0, headerLength)).toEqual(Buffer.from(shard?.headerBytes ?? []));
    expect(checkpoint.tensors.get('b')).toEqual({
      name: 'b',
      dtype: 'F32',
      shape: [1],
      sizeBytes: 4,
      segments: [{ path: join(folder, 'model.safetensors'), offset: headerLength + 8, length: 4 }],
    });
  });

  it('reads shards through the index and through symbolic links', async () => {
    const blobs = folderWith({ blobA: shardA, blobB: shardB });
    const folder = folderWith({ [INDEX]: index({ a: nameA, b: nameB }), 'consolidated.safetensors': 'ignored' });
    symlinkSync(join(blobs, 'blobA'), join(folder, nameA));
    symlinkSync(join(blobs, 'blobB'), join(folder, nameB));
    expect([...(await openCheckpoint(folder)).tensors.keys()]).toEqual(['a', 'b']);
  });

  it('reads a complete numbered set without index, one oddly named file, and a file by its path', async () => {
    expect((await openCheckpoint(folderWith({ [nameA]: shardA, [nameB]: shardB }))).tensors.size).toBe(2);
    const folder = folderWith({ 'weights.safetensors': shardA, 'config.json': '{}' });
    expect((await openCheckpoint(folder)).tensors.size).toBe(1);
    const byFile = await openCheckpoint(join(folder, 'weights.safetensors'));
    expect(byFile.sidecars).toHaveLength(1);
    expect([...byFile.tensors.values()]).toEqual([...(await openCheckpoint(folder)).tensors.values()]);
  });

  it('refuses what does not exist or holds nothing', async () => {
    await expectError('CHECKPOINT_NOT_FOUND', () => openCheckpoint(join(root, 'nowhere')));
    const hub = await expectError('CHECKPOINT_NOT_FOUND', () => openCheckpoint('org/model'));
    expect(hub.message).toContain('hf download org/model');
    await expectError('CHECKPOINT_NOT_FOUND', () => openCheckpoint(folderWith({ 'config.json': '{}' })));
    await expectError('CHECKPOINT_NOT_FOUND', () => openCheckpoint(folderWith({ 'model.safetensors': safetensorsBytes([]) })));
  });

  it('refuses pickles under any name', async () => {
    const zip = Buffer.from('PK\u0003\u0004rest of a zip archive');
    const pickle = Buffer.from([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20]);
    await expectError('PICKLE_REFUSED', () => openCheckpoint(folderWith({ 'pytorch_model.bin': zip })));
    await expectError('PICKLE_REFUSED', () => openCheckpoint(folderWith({ 'model.safetensors': zip })));
    await expectError('PICKLE_REFUSED', () => openCheckpoint(folderWith({ 'model.safetensors': pickle })));
    await expectError('PICKLE_REFUSED', () => openCheckpoint(join(folderWith({ 'x.pt': zip }), 'x.pt')));
  });

  it('refuses adapters', async () => {
    await expectError('RECIPE_UNSUPPORTED', () =>
      openCheckpoint(folderWith({ 'adapter_model.safetensors': shardA, 'adapter_config.json': '{}' })),
    );
  });

  it('refuses broken files with the path in the message', async () => {
    const write = (bytes: Uint8Array) => folderWith({ 'model.safetensors': bytes });
    await expectError('SAFETENSORS_TRUNCATED', () => openCheckpoint(write(Buffer.alloc(5))));
    await expectError('SAFETENSORS_TRUNCATED', () => openCheckpoint(write(shardA.subarray(0, 20))));
    const cut = write(shardA);
    truncateSync(join(cut, 'model.safetensors'), shardA.length - 1);
    const error = await expectError('SAFETENSORS_TRUNCATED', () => openCheckpoint(cut));
    expect(error.details.where).toBe(join(cut, 'model.safetensors'));
    await expectError('SAFETENSORS_HEADER_TOO_LARGE', () => openCheckpoint(write(Buffer.alloc(64, 0xee))));
    await expectError('SAFETENSORS_HEADER_INVALID', () => openCheckpoint(write(Buffer.alloc(64, 0))));
  });

  it('refuses an index that contradicts its shards', async () => {
    const files = { [nameA]: shardA, [nameB]: shardB };
    const cases: Record<string, string | Uint8Array>[] = [
      { [INDEX]: index({ a: nameA, b: nameB }), [nameA]: shardA },
      { ...files, [INDEX]: index({ a: nameB, b: nameA }) },
      { ...files, [INDEX]: index({ a: nameA, b: nameB, c: nameB }) },
      { [INDEX]: index({ a: 'ab.safetensors' }), 'ab.safetensors': safetensorsBytes([a, b]) },
      { [INDEX]: index({ a: nameA, b: nameB }), [nameA]: safetensorsBytes([a]), [nameB]: safetensorsBytes([a, b]) },
      { ...files, [INDEX]: '{"weight_map":{"a":"../x.safetensors"}}' },
      { ...files, [INDEX]: '{"weight_map":{"a":"x.bin"}}' },
      { ...files, [INDEX]: `{"weight_map":{"a":"${nameA}","a":"${nameA}"}}` },
      { ...files, [INDEX]: '{"metadata":{}}' },
      { ...files, [INDEX]: '{"weight_map":{}}' },
      { ...files, [INDEX]: 'not json' },
      { ...files, [INDEX]: index({ a: nameA, b: nameB }), 'model.safetensors': shardA },
      { [nameA]: shardA },
      { 'x.safetensors': shardA, 'y.safetensors': shardB },
    ];
    for (const content of cases) await expectError('CHECKPOINT_INDEX_INVALID', () => openCheckpoint(folderWith(content)));
  });
});
