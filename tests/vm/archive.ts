/**
 * Packages of Debian suites that this machine does not run: looked up and fetched by apt with state of its own, unpacked, and never
 * installed.
 */
import { exists, run } from "./command.ts";
import { cacheFolder } from "./host.ts";

/** The suites whose kernels and headers there are. */
const SUITES = [
  "bullseye",
  "bullseye-security",
  "bookworm",
  "bookworm-security",
  "bookworm-backports",
  "trixie",
  "trixie-security",
  "trixie-backports",
];
/** Of the packages of a kernel, those that the lab unpacks or looks at. */
const WANTED = /^linux-(image|binary|modules|headers|kbuild)-\d/;
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** The archive that apt uses here. */
async function mirrors(): Promise<{ main: string; security: string }> {
  const named = Deno.env.get("DEBIAN_MIRROR");
  const sources = await run(["grep", "-rhoE", "https?://[^ ]+", "/etc/apt/sources.list", "/etc/apt/sources.list.d"])
    .catch(() => "");
  const found = (ending: RegExp) => sources.split("\n").find((line) => ending.test(line))?.replace(/\/$/, "");
  const main = named?.replace(/\/$/, "") ?? found(/\/debian\/?$/) ?? "http://deb.debian.org/debian";
  const security = named === undefined ? found(/\/debian-security\/?$/) : undefined;
  return { main, security: security ?? `${main}-security` };
}

/** The newest version of a package, and the packages it depends on. */
export interface Package {
  readonly version: string;
  readonly depends: readonly string[];
}

/** See the module. */
export class Archive {
  /** Those of kernels, by name. */
  readonly packages = new Map<string, Package>();
  readonly #folder: string;
  readonly #options: readonly string[];

  private constructor(folder: string) {
    this.#folder = folder;
    const settings = {
      "APT::Architecture": "amd64",
      "APT::Sandbox::User": "root",
      // A suite that is not maintained any more is still the one that people run.
      "Acquire::Check-Valid-Until": "false",
      "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
      "Acquire::Languages": "none",
      "Dir::Cache": `${folder}/cache`,
      "Dir::Etc::sourcelist": `${folder}/sources.list`,
      "Dir::Etc::sourceparts": "/dev/null",
      "Dir::State": `${folder}/state`,
      "Dir::State::status": "/dev/null",
    };
    this.#options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  }

  /** Asks for the current indexes; without a network those of the last time are used. */
  static async open(): Promise<Archive> {
    const folder = await cacheFolder("apt");
    await Deno.mkdir(`${folder}/state/lists/partial`, { recursive: true });
    await Deno.mkdir(`${folder}/cache/archives/partial`, { recursive: true });
    const { main, security } = await mirrors();
    const lines = SUITES.map((suite) =>
      `deb [signed-by=${KEYS}] ${suite.endsWith("-security") ? security : main} ${suite} main\n`
    );
    await Deno.writeTextFile(`${folder}/sources.list`, lines.join(""));
    const archive = new Archive(folder);
    await archive.#apt("apt-get", "update").catch((error) => console.warn(`using older indexes: ${error.message}`));
    const names = (await archive.#apt("apt-cache", "pkgnames", "linux-")).split("\n");
    await archive.#read(names.filter((name) => WANTED.test(name)));
    return archive;
  }

  #apt(program: string, ...args: string[]): Promise<string> {
    return run([program, ...this.#options, ...args], { cwd: this.#folder });
  }

  /** Reads what there is of the packages in `names`, in one call: each takes seconds. */
  async #read(names: readonly string[]): Promise<void> {
    const text = await this.#apt("apt-cache", "show", "--no-all-versions", ...names);
    for (const entry of text.split("\n\n")) {
      const field = (key: string) => new RegExp(`^${key}: (.*)$`, "m").exec(entry)?.[1] ?? "";
      const depends = field("Depends").split(", ").map((part) => part.split(" ")[0]);
      this.packages.set(field("Package"), { version: field("Version"), depends });
    }
  }

  /** Unpacks packages into a folder that is made once for each `key`; answers the folder. */
  async unpack(key: string, packages: readonly string[]): Promise<string> {
    const folder = await cacheFolder("unpacked", key);
    const stamp = `${folder}.complete`;
    if (await exists(stamp)) return folder;
    const downloads = await cacheFolder("downloads", key);
    console.log(`fetching ${packages.join(", ")}`);
    await run(["apt-get", ...this.#options, "download", ...packages], { cwd: downloads });
    for await (const { name } of Deno.readDir(downloads)) {
      await run(["dpkg-deb", "--extract", `${downloads}/${name}`, folder]);
    }
    await Deno.remove(downloads, { recursive: true });
    await Deno.writeTextFile(stamp, packages.join("\n"));
    return folder;
  }
}
