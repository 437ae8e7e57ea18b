import { ARTEFACT } from "./artefact.ts";
import type { CoreExports } from "./exports.ts";

const PAGE_BYTES = 65_536;

let compiled: WebAssembly.Module | undefined;
let sizer: CoreExports | undefined;

/** Puts another build in the place of the committed one, for tests of a rebuilt core. Before the first use. */
export function replaceModule(module: WebAssembly.Module): void {
  compiled = module;
  sizer = undefined;
}

/** The compiled core, once per process: decoding and compiling cost a millisecond or two. */
function coreModule(): WebAssembly.Module {
  if (compiled === undefined) {
    const text = atob(ARTEFACT.base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    compiled = new WebAssembly.Module(bytes);
  }
  return compiled;
}

/** A raw instance on a memory: the generated glue keeps one instance per module, and there is one per core here. */
export function instantiate(memory: WebAssembly.Memory): CoreExports {
  const module = coreModule();
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    // The only function is wasm-bindgen's set-up of a table that this core does not use.
    (imports[from] ??= {})[name] = kind === "memory" ? memory : () => {};
  }
  return new WebAssembly.Instance(module, imports).exports as unknown as CoreExports;
}

/** Bytes of memory that a core with such tables needs; 0 if it cannot be. */
export function memoryBytes(
  arenaBytes: number,
  leases: number,
  sends: number,
  sockets: number,
  window: number,
  ring: number,
): number {
  sizer ??= instantiate(new WebAssembly.Memory({ initial: 4, maximum: 4 }));
  return sizer.core_bytes(arenaBytes, leases, sends, sockets, window, ring) >>> 0;
}

/** A memory that never grows, so it never moves and no view of it is detached. */
export function fixedMemory(bytes: number): WebAssembly.Memory {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  return new WebAssembly.Memory({ initial: pages, maximum: pages });
}
