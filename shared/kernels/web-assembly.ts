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
  readonly Memory: new (limits: { initial: number; maximum: number; shared?: boolean }) => WasmMemory;
  readonly Instance: new (module: WasmModule, imports: { env: { memory: WasmMemory } }) => { readonly exports: object };
}

export const webAssembly = (globalThis as unknown as { readonly WebAssembly: WasmApi }).WebAssembly;

const PAGE_BYTES = 65_536;

/** Memory that threads share and that begins at a page, as unbuffered file writes want it; a plain SharedArrayBuffer begins anywhere. */
export function createSharedMemory(sizeBytes: number): SharedArrayBuffer {
  const pages = Math.ceil(sizeBytes / PAGE_BYTES);
  const { buffer } = new webAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return buffer as unknown as SharedArrayBuffer;
}
