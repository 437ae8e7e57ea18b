/**
 * What a guest has besides its kernel: programs with the libraries they load, this project, and the modules that its tests import.
 */
import { exists, find, run } from "./command.ts";
import { cacheFolder } from "./host.ts";
import { PROJECT } from "./project.ts";

/** Where guests have Deno's cache. */
export const GUEST_DENO_DIR = "/deno-dir";

/** Of the project, what suites use. */
const PARTS = ["mod.ts", "deno.json", "deno.lock", "ffi", "net", "wasm", "cli", "tests"];
/** What guests start, or import. */
const COMPILED = ["tests/net", "tests/ffi", "tests/wasm", "tests/vm"];
const LEFT_OUT = ["target", "node_modules"];
/** What the suites run. Everything else is busybox. */
const PROGRAMS = ["ethtool", "ip", "nsenter", "prlimit", "setpriv", "ss", "tc", "unshare"];
const LIBURING = "/usr/lib/x86_64-linux-gnu/liburing.so.2";
/** Debian's folders of old are links. */
const LINKS = { bin: "usr/bin", sbin: "usr/sbin", lib: "usr/lib", lib64: "usr/lib64" };
const FILES = {
  "etc/passwd": "root:x:0:0::/root:/bin/sh\nguest:x:1000:1000::/tmp:/bin/sh\n",
  "etc/group": "root:x:0:\nguest:x:1000:\n",
  "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
  "etc/nsswitch.conf": "hosts: files dns\n",
  "etc/resolv.conf": "nameserver 127.0.0.1\n",
  "etc/gai.conf": "",
  "etc/host.conf": "multi on\n",
};

/** Fills the folder `root`. */
export async function layOut(root: string): Promise<void> {
  for (const [name, target] of Object.entries(LINKS)) {
    await Deno.mkdir(`${root}/${target}`, { recursive: true });
    await Deno.symlink(target, `${root}/${name}`);
  }
  for (const folder of ["dev", "proc", "sys", "tmp", "run", "root", "etc"]) await Deno.mkdir(`${root}/${folder}`);
  for (const [name, text] of Object.entries(FILES)) await Deno.writeTextFile(`${root}/${name}`, text);
  await Deno.copyFile((await find("busybox"))!, `${root}/usr/bin/busybox`);
  await Deno.copyFile(new URL("./init.sh", import.meta.url), `${root}/init`);
  await Deno.chmod(`${root}/init`, 0o755);
  const programs = await Promise.all(PROGRAMS.map(find));
  await install(root, Deno.execPath(), "/usr/bin/deno");
  for (const path of programs) if (path !== undefined) await install(root, path, path);
  // Not busybox's shell: it prefers commands of its own to programs of the same name.
  await install(root, "/bin/sh", "/bin/sh");
  await install(root, LIBURING, LIBURING);
  for (const part of PARTS) await copyTree(`${PROJECT}/${part}`, `${root}${PROJECT}/${part}`);
  await copyTree(await denoDir(), `${root}${GUEST_DENO_DIR}`);
}

/** Copies a program or a library, and what it is linked to. */
async function install(root: string, from: string, to: string): Promise<void> {
  const libraries = (await run(["ldd", from])).matchAll(/(\/\S+) \(0x/g);
  for (const [source, target] of [[from, to], ...[...libraries].map(([, path]) => [path, path])]) {
    const path = `${root}${target.replace(/^\/(bin|sbin|lib|lib64)\//, "/usr/$1/")}`;
    if (await exists(path)) continue;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.copyFile(await Deno.realPath(source), path);
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  const { isDirectory } = await Deno.stat(from);
  if (!isDirectory) {
    await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
    return await Deno.copyFile(from, to);
  }
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) {
    if (!LEFT_OUT.includes(name)) await copyTree(`${from}/${name}`, `${to}/${name}`);
  }
}

/** A cache with what the tests import, and all of it compiled: guests have no network, and are slow. */
async function denoDir(): Promise<string> {
  const folder = await cacheFolder("deno-dir");
  const files: string[] = [];
  const walk = async (path: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(`${PROJECT}/${path}`)) {
      if (isDirectory) await walk(`${path}/${name}`);
      else if (name.endsWith(".ts")) files.push(`${path}/${name}`);
    }
  };
  for (const part of COMPILED) await walk(part);
  await run([Deno.execPath(), "cache", "--no-check", ...files], { cwd: PROJECT, env: { DENO_DIR: folder } });
  return folder;
}
