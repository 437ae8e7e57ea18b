/**
 * What the lab needs on the machine: installed on Debian as root, only what is missing.
 */
import { exists, find, run } from "./command.ts";

/** Programs, and the packages they come in. */
const PROGRAMS: Record<string, string> = {
  "qemu-system-x86_64": "qemu-system-x86",
  busybox: "busybox-static",
  cpio: "cpio",
  depmod: "kmod",
  ethtool: "ethtool",
  gcc: "gcc",
  ip: "iproute2",
  make: "make",
  prlimit: "util-linux",
  xz: "xz-utils",
};
const LIBURING = "/usr/lib/x86_64-linux-gnu/liburing.so.2";

/** Why guests cannot run on this machine; `undefined` when they can, after installing what they need. */
export async function prepareHost(): Promise<string | undefined> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") return "guests need Linux on x86-64";
  if (await find("apt-get") === undefined) return "guests need apt-get, which brings their kernels";
  const missing: string[] = [];
  for (const [program, name] of Object.entries(PROGRAMS)) if (await find(program) === undefined) missing.push(name);
  if (!await exists(LIBURING)) missing.push("liburing2");
  if (missing.length === 0) return undefined;
  if (Deno.uid() !== 0) return `guests need the packages ${missing.join(", ")}, and installing them needs root`;
  console.log(`installing ${missing.join(", ")}`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await run(["apt-get", "update", "-q"], { env });
  await run(["apt-get", "install", "-y", "-q", "--no-install-recommends", ...missing], { env });
  return undefined;
}

/** Waits until no other lab runs on this machine: two would fill the same folders, and be too slow for each other. */
export async function takeTurn(): Promise<void> {
  const file = await Deno.open(`${await cacheFolder()}/lock`, { create: true, write: true });
  if (await file.tryLock(true)) return;
  console.log("waiting for another lab on this machine");
  await file.lock(true); // given back when the program ends
}

/** Where downloads and what is made of them are kept: outside the repository, shared by all runs. */
export async function cacheFolder(...parts: string[]): Promise<string> {
  const root = Deno.env.get("RINGLET_CACHE") ?? `${Deno.env.get("HOME")}/.cache/ringlet`;
  const folder = [root, "vm", ...parts].join("/");
  await Deno.mkdir(folder, { recursive: true });
  return folder;
}
