/** The part of the WebAssembly API that we use, typed by hand: TypeScript has it in lib.dom only, which a server must not pull in. */

/** A compiled module: opaque, may be posted to worker threads. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}

interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

interface WasmApi {
  compile(bytes: Uint8Array): Promise<WasmModule>;
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Memory: new (limits: { initial: number; maximum: number }) => WasmMemory;
  readonly Instance: new (module: WasmModule, imports: { env: { memory: WasmMemory } }) => { readonly exports: object };
}

export const webAssembly = (globalThis as unknown as { readonly WebAssembly: WasmApi }).WebAssembly;

const PAGE_BYTES = 65_536;

/** Memory that begins at a page, as unbuffered file writes want it; other buffers begin anywhere. */
export function createAlignedMemory(sizeBytes: number): Buffer {
  const pages = Math.ceil(sizeBytes / PAGE_BYTES);
  return Buffer.from(new webAssembly.Memory({ initial: pages, maximum: pages }).buffer);
}
