// Imported first by every test of the core: with RINGLET_CORE_WASM the tests run on another build of it, which is how
// `deno task wasm:check` tries a core that was rebuilt with other tools.
import { readFileSync } from "node:fs";
import process from "node:process";
import { replaceModule } from "../../wasm/instance.ts";

const path = process.env.RINGLET_CORE_WASM;
if (path) replaceModule(new WebAssembly.Module(readFileSync(path)));
