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

/** See the module. */
export class Archive {
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
    return archive;
  }

  #apt(program: string, ...args: string[]): Promise<string> {
    return run([program, ...this.#options, ...args], { cwd: this.#folder });
  }

  /** Names of the packages that begin so. */
  async names(prefix: string): Promise<string[]> {
    return (await this.#apt("apt-cache", "pkgnames", prefix)).split("\n").filter((name) => name !== "");
  }

  /** The newest version of a package, and the packages it depends on. */
  async describe(name: string): Promise<{ version: string; depends: string[] }> {
    const text = await this.#apt("apt-cache", "show", "--no-all-versions", name);
    const field = (key: string) => new RegExp(`^${key}: (.*)$`, "m").exec(text)?.[1] ?? "";
    return { version: field("Version"), depends: field("Depends").split(", ").map((part) => part.split(" ")[0]) };
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
