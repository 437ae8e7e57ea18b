/**
 * The module that sets a socket's counter of zero-copy ids, built for a kernel outside its packages: the headers are unpacked, and told
 * where they are, since they name each other by absolute paths.
 */
import type { Archive } from "./archive.ts";
import { exists, run } from "./command.ts";
import { cacheFolder } from "./host.ts";
import type { Kernel } from "./kernels.ts";

const SOURCE = new URL("./module/", import.meta.url);
const FILES = ["Kbuild", "ringlet_zckey.c"];

/** A module that was built, or why it was not. */
export type Built = { readonly path: string } | { readonly missing: string };

/** Builds the module for a kernel. */
export async function buildModule(archive: Archive, kernel: Kernel): Promise<Built> {
  try {
    const headers = await fetchHeaders(archive, kernel);
    const folder = await cacheFolder("module", kernel.release);
    for (const file of FILES) await Deno.copyFile(new URL(file, SOURCE), `${folder}/${file}`);
    // Any compiler that knows the flags will do, and nothing here needs the types that debuggers like.
    await run(["make", "-s", "-C", headers, `M=${folder}`, "CC=gcc", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"]);
    return { path: `${folder}/ringlet_zckey.ko` };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // The first line that tells what is wrong; the rest follows from it.
    const line = message.split("\n").find((line) => /error|unable|cannot/i.test(line)) ?? message.split("\n")[0];
    return { missing: `the module that sets a socket's counter cannot be built: ${line.trim()}` };
  }
}

/** Unpacks the headers of a kernel and what they refer to; answers the folder to build in. */
async function fetchHeaders(archive: Archive, { release, version }: Kernel): Promise<string> {
  const name = `linux-headers-${release}`;
  const found = archive.packages.get(name);
  if (found === undefined) throw new Error(`the archive has no ${name}`);
  // Which compiler it was built with is left to the machine that builds.
  const parts = found.depends.filter((name) => /^linux-(headers|kbuild)-/.test(name));
  const root = await archive.unpack(`${name}_${version}`, [name, ...parts]);
  const folder = `${root}/usr/src/${name}`;
  const stamp = `${root}.moved`;
  if (!await exists(stamp)) {
    await moveLinks(root, root);
    for (const file of await makefiles(root)) {
      const text = await Deno.readTextFile(file);
      await Deno.writeTextFile(file, text.replaceAll(/(?<![\w/.-])\/usr\/(src|lib)\/linux-/g, `${root}/usr/$1/linux-`));
    }
    await Deno.writeTextFile(stamp, "");
  }
  return folder;
}

/** Makes absolute links point into `root`. */
async function moveLinks(root: string, folder: string): Promise<void> {
  for await (const { name, isSymlink, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) await moveLinks(root, path);
    if (!isSymlink) continue;
    const target = await Deno.readLink(path);
    if (!target.startsWith("/usr/")) continue;
    await Deno.remove(path);
    await Deno.symlink(root + target, path);
  }
}

async function makefiles(root: string): Promise<string[]> {
  const files = [];
  for await (const { name } of Deno.readDir(`${root}/usr/src`)) {
    for (const file of ["Makefile", ".kernelvariables"]) {
      const path = `${root}/usr/src/${name}/${file}`;
      if (await exists(path)) files.push(path);
    }
  }
  return files;
}
