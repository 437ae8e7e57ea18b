/**
 * The memory disks of the guests: a part that all of them share, and for each kernel one with its modules. The kernel unpacks them one
 * over the other.
 */
import { exists, find, run } from "./command.ts";
import { cacheFolder } from "./host.ts";
import type { Built } from "./kernel_module.ts";
import type { Kernel } from "./kernels.ts";
import { layOut } from "./userland.ts";

/** What suites need and kernels for clouds do not have built in. */
const MODULES = ["veth", "ifb", "dummy", "sch_netem", "sch_fq", "tcp_diag", "udp_diag", "unix_diag"];

/** Builds the common part; answers its path. */
export async function buildCommon(): Promise<string> {
  return await pack("common", layOut);
}

/** Builds the part of a kernel, with the module of the tests or the reason why there is none. Answers its path. */
export async function buildModules(kernel: Kernel, ours: Built): Promise<string> {
  return await pack(`modules-${kernel.release}`, async (root) => {
    await Deno.mkdir(`${root}/modules`);
    const paths = new Set<string>();
    for (const name of MODULES) {
      const lines = await run(["modprobe", "-d", kernel.root, "-S", kernel.release, "--show-depends", name]);
      for (const [, path] of lines.matchAll(/^insmod (\S+)/gm)) paths.add(path);
    }
    let order = 10;
    if ("path" in ours) paths.add(ours.path);
    else await Deno.writeTextFile(`${root}/modules/missing`, ours.missing);
    for (const path of paths) {
      const name = path.slice(path.lastIndexOf("/") + 1).replace(/\.xz$/, "");
      const target = `${root}/modules/${order++}-${name}`;
      await Deno.copyFile(path, path.endsWith(".xz") ? `${target}.xz` : target);
      if (path.endsWith(".xz")) await run(["xz", "--decompress", `${target}.xz`]);
    }
  });
}

/** Makes an archive of what `fill` puts into an empty folder. */
async function pack(name: string, fill: (root: string) => Promise<void>): Promise<string> {
  const folder = await cacheFolder("initramfs");
  const root = `${folder}/${name}`;
  if (await exists(root)) await Deno.remove(root, { recursive: true });
  await Deno.mkdir(root);
  await fill(root);
  const archive = `${root}.cpio`;
  await run(["sh", "-c", `find . | ${await find("cpio")} --create --format=newc --quiet > "$0"`, archive], {
    cwd: root,
  });
  await Deno.remove(root, { recursive: true });
  return archive;
}
