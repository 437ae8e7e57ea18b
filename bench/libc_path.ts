/**
 * Where libc is: the processes of the benchmark that are no part of Ringlet call it by themselves.
 *
 * @module
 */
import { libcPaths } from "../ffi/libc.ts";
import { openSystem } from "../ffi/system.ts";

/** The path of this machine's libc. */
export function libcPath(): string {
  return libcPaths(openSystem().arch).find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  })!;
}
