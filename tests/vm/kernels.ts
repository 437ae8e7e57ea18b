/**
 * The kernels of the lab: which lines, and the newest package of each.
 */
import type { Archive } from "./archive.ts";
import { exists, run } from "./command.ts";

/** A line of kernels: the newest whose release matches is taken. */
interface Line {
  readonly name: string;
  readonly release: RegExp;
}

/** Debian's kernels for clouds: what is not needed in a virtual machine is left out. */
const FLAVOUR = "-cloud-amd64";

/** Of 6.12 there are packages of two Debian versions: those of the older one have headers that the older compiler takes, too. */
export const LINES: readonly Line[] = [
  { name: "5.10", release: /^5\.10\.\d/ },
  { name: "6.1", release: /^6\.1\.0-\d+-/ },
  { name: "6.12", release: /^6\.12\.\d.*deb12/ },
  { name: "6.x", release: /^6\.\d+\.\d/ },
  { name: "7.x", release: /^7\.\d+\.\d/ },
];

/** A kernel that is there. */
export interface Kernel {
  /** Name of its line. */
  readonly name: string;
  /** As `uname -r` says it. */
  readonly release: string;
  /** Of the package. */
  readonly version: string;
  /** The image that qemu boots. */
  readonly image: string;
  /** Its packages, unpacked. */
  readonly root: string;
}

/** The newest kernel of a line, fetched if it is not there yet; `undefined` where the archive has none. */
export async function fetchKernel(archive: Archive, { name, release }: Line): Promise<Kernel | undefined> {
  const { packages } = archive;
  const releases = [...packages.keys()]
    .filter((name) => name.startsWith("linux-image-") && name.endsWith(FLAVOUR))
    .map((name) => name.slice("linux-image-".length))
    .filter((candidate) => release.test(candidate))
    .sort(new Intl.Collator("en", { numeric: true }).compare)
    .reverse();
  for (const release of releases) {
    const { version, depends } = packages.get(`linux-image-${release}`)!;
    // Since 6.19 the image and the modules are packages of their own, which the archive does not always keep together.
    const parts = depends.filter((name) => /^linux-(binary|modules)-/.test(name));
    if (parts.some((name) => !packages.has(name))) continue;
    const root = await archive.unpack(`linux-${release}_${version}`, [`linux-image-${release}`, ...parts]);
    // Modules moved with everything else; those who read them look in the old place.
    if (!await exists(`${root}/lib/modules`)) {
      await Deno.remove(`${root}/lib`, { recursive: true }).catch(() => {});
      await Deno.symlink("usr/lib", `${root}/lib`);
    }
    if (!await exists(`${root}/lib/modules/${release}/modules.dep`)) await run(["depmod", "-b", root, release]);
    const boot = `${root}/boot/vmlinuz-${release}`;
    // Since 7.2 it lies beside its modules.
    const image = await exists(boot) ? boot : `${root}/lib/modules/${release}/vmlinuz`;
    return { name, release, version, image, root };
  }
  return undefined;
}
