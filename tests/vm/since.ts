/** Versions of the running kernel. */
import { release } from "node:os";

/** Whether this kernel is Linux `major.minor` or newer. */
export function since(major: number, minor: number): boolean {
  const [ownMajor, ownMinor] = release().split(".").map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
