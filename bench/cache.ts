/**
 * The processor's caches, which payloads must not fit into.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";

/** Where Linux describes the caches of the first processor. */
const CACHES = "/sys/devices/system/cpu/cpu0/cache";
/** Assumed where it does not. */
const USUAL_BYTES = 32 << 20;

/** Size of the largest cache. */
export function lastLevelCacheBytes(): number {
  try {
    const names = readdirSync(CACHES).filter((name) => name.startsWith("index"));
    return Math.max(...names.map((name) => parseInt(readFileSync(`${CACHES}/${name}/size`, "utf8")) * 1024));
  } catch {
    return USUAL_BYTES;
  }
}
