/** A package index (PEP 503) on a free port, with one wheel. */
import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { deflateRawSync } from 'node:zlib';
import type { Wheel } from '../../shared/linalg/openblas-wheels.js';

export interface PackageIndex {
  readonly url: string;
  /** Paths that were asked for. */
  readonly requests: string[];
  close(): Promise<void>;
}

/** @param serve writes the wheel; default: all of it */
export async function startIndex(
  { file }: Wheel,
  archive: Buffer,
  serve: (response: ServerResponse) => void = (response) => void response.end(archive),
): Promise<PackageIndex> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    if (request.url === '/simple/scipy-openblas32/') {
      response.end(`<!DOCTYPE html><a href="other-1.0.whl">other</a>\n<a href="../../files/${file}#sha256=${'0'.repeat(64)}">${file}</a>`);
    } else if (request.url === `/files/${file}`) serve(response);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A zip archive (without checksums); every other entry is stored, the rest deflated. */
export function zipOf(files: Readonly<Record<string, string>>): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [index, [name, text]] of Object.entries(files).entries()) {
    const contents = Buffer.from(text);
    const method = index % 2 === 0 ? 8 : 0;
    const packed = method === 8 ? deflateRawSync(contents) : contents;
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(method, 4);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(contents.length, 18);
    fields.writeUInt16LE(Buffer.byteLength(name), 22);
    const place = Buffer.alloc(16);
    place.writeUInt32LE(offset, 12);
    const local = Buffer.concat([Buffer.from('PK\u0003\u0004'), fields, Buffer.from(name), packed]);
    const empty = Buffer.alloc(2);
    directory.push(Buffer.from('PK\u0001\u0002'), empty, fields, place.subarray(2), Buffer.from(name));
    locals.push(local);
    offset += local.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(locals.length, 4);
  end.writeUInt16LE(locals.length, 6);
  end.writeUInt32LE(listing.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...locals, listing, Buffer.from('PK\u0005\u0006'), end]);
}

export const wheelOf = (archive: Buffer, library: string): Wheel => ({
  file: 'scipy_openblas32-0.0.1-py3-none-any.whl',
  sha256: createHash('sha256').update(archive).digest('hex'),
  library,
});
