/** Opens a data file by the end of its name. */
import { refuseData, type Table } from './column.js';

/** @throws DATA_INVALID, CHECKPOINT_NOT_FOUND, SAFETENSORS_*, IO_ERROR */
export async function openTable(path: string): Promise<Table> {
  if (path.endsWith('.npz')) return (await import('./npz.js')).openNpz(path);
  if (path.endsWith('.parquet')) return (await import('./parquet.js')).openParquet(path);
  if (path.endsWith('.safetensors')) return (await import('./safetensors.js')).openSafetensors(path);
  refuseData(path, 'the kind of data file is not known', { expected: '.parquet, .npz or .safetensors' });
}
