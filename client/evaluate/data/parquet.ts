/** Parquet as a table of columns: numbers, booleans, and lists of numbers that all have one length (also nested). hyparquet is loaded when used. */
import { TributaryError, toTributaryError } from '../../../shared/errors/tributary-error.js';
import { type Column, type NumericArray, refuseData, type Table } from './column.js';

/** @throws DATA_INVALID, IO_ERROR */
export async function openParquet(path: string): Promise<Table> {
  const [hyparquet, { compressors }] = await Promise.all([import('hyparquet'), import('hyparquet-compressors')]);
  const { asyncBufferFromFile, parquetMetadataAsync, parquetRead, parquetSchema } = hyparquet;
  return guard(path, async () => {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    const rows = Number(metadata.num_rows);
    return {
      path,
      names: parquetSchema(metadata).children.map(({ element }) => element.name),
      read: (name) =>
        guard(path, async () => {
          const builder = new ColumnBuilder(name, path);
          let rowStart = 0;
          for (const group of metadata.row_groups) {
            const rowEnd = rowStart + Number(group.num_rows);
            // Called where a throw would be nobody's, so it only keeps what it is given.
            const chunks: { readonly columnData: ArrayLike<unknown>; readonly rowStart: number }[] = [];
            await parquetRead({
              file,
              metadata,
              columns: [name],
              rowStart,
              rowEnd,
              compressors,
              onChunk: (chunk) => void chunks.push(chunk),
            });
            chunks.sort((a, b) => a.rowStart - b.rowStart);
            for (const { columnData } of chunks) builder.addRows(columnData);
            rowStart = rowEnd;
          }
          return builder.finish(rows);
        }),
    };
  });
}

async function guard<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof TributaryError || (error as NodeJS.ErrnoException).syscall !== undefined) throw toTributaryError(error, path);
    throw new TributaryError(
      'DATA_INVALID',
      { what: 'the parquet file cannot be read', where: path, got: (error as Error).message },
      { cause: error },
    );
  }
}

type Cell = number | bigint | boolean | ArrayLike<unknown>;

/** Gathers rows; all have the shape of the first. */
class ColumnBuilder {
  readonly #name: string;
  readonly #path: string;
  readonly #parts: NumericArray[] = [];
  #shape: number[] | undefined;
  #rows = 0;

  constructor(name: string, path: string) {
    this.#name = name;
    this.#path = path;
  }

  addRows(data: ArrayLike<unknown>): void {
    if (data.length === 0) return;
    this.#shape ??= this.#shapeOf(data[0]);
    const size = this.#shape.reduce((product, length) => product * length, 1);
    const values = typeof first(data[0]) === 'bigint' ? new BigInt64Array(data.length * size) : widest(data, data.length * size);
    let at = 0;
    const copy = (cell: unknown, depth: number): void => {
      const length = (this.#shape as number[])[depth];
      if (length === undefined) {
        values[at] = this.#numberOf(cell) as number & bigint;
        at += 1;
        return;
      }
      if (!isList(cell) || cell.length !== length) {
        this.#refuse('a list has another length than that of the first row', `${length}`, isList(cell) ? `${cell.length}` : describe(cell));
      }
      for (let index = 0; index < length; index += 1) copy(cell[index], depth + 1);
    };
    for (let row = 0; row < data.length; row += 1) copy(data[row], 0);
    this.#parts.push(values);
    this.#rows += data.length;
  }

  finish(rows: number): Column {
    if (this.#rows !== rows) this.#refuse('a column has another number of rows than the file', `${rows}`, `${this.#rows}`);
    return { name: this.#name, shape: [rows, ...(this.#shape ?? [])], values: join(this.#parts) };
  }

  #shapeOf(cell: unknown): number[] {
    const shape: number[] = [];
    let current = cell;
    while (isList(current)) {
      shape.push(current.length);
      current = current[0];
    }
    return shape;
  }

  #numberOf(cell: unknown): number | bigint {
    if (typeof cell === 'number' || typeof cell === 'bigint') return cell;
    if (typeof cell === 'boolean') return cell ? 1 : 0;
    return this.#refuse('a cell is no number', 'numbers, or lists of numbers, and no nulls', describe(cell));
  }

  #refuse(what: string, expected: string, got: string): never {
    refuseData(this.#path, `column ${this.#name}: ${what}`, { expected, got });
  }
}

const isList = (cell: unknown): cell is Exclude<Cell, number | bigint | boolean> => Array.isArray(cell) || ArrayBuffer.isView(cell);

function first(cell: unknown): unknown {
  return isList(cell) ? first(cell[0]) : cell;
}

/** Flat chunks arrive as typed arrays whose width says enough; everything else is kept as doubles, which lose nothing. */
function widest(data: ArrayLike<unknown>, length: number): NumericArray {
  if (data instanceof Int32Array) return new Int32Array(length);
  return data instanceof Float32Array ? new Float32Array(length) : new Float64Array(length);
}

function describe(cell: unknown): string {
  return cell === null || cell === undefined ? 'null' : typeof cell;
}

function join(parts: readonly NumericArray[]): NumericArray {
  const [only, ...others] = parts;
  if (only === undefined) return new Float64Array();
  if (others.length === 0) return only;
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  const same = parts.every((part) => part.constructor === only.constructor);
  const joined = same ? new (only.constructor as new (length: number) => NumericArray)(total) : new Float64Array(total);
  let at = 0;
  for (const part of parts) {
    for (let index = 0; index < part.length; index += 1) joined[at + index] = (same ? part[index] : Number(part[index])) as number & bigint;
    at += part.length;
  }
  return joined;
}
