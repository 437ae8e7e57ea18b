// Building the core's WebAssembly, shared by wasm_build.ts and wasm_check.ts.
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";

/** The crate's folder. */
export const CRATE: string = fileURLToPath(new URL("../wasm/", import.meta.url));
/** The generated module. */
export const ARTEFACT: string = `${CRATE}artefact.ts`;
/** The module that size limits are about. */
export const MAX_WASM_BYTES = 65_536;

/** Where the compiler comes from. */
export type Toolchain = "rustup" | "trixie";

/** The programs whose versions decide the bytes. */
export type Tools = Record<"rustc" | "wasm-pack" | "wasm-bindgen" | "wasm-opt", string>;

/** A finished build. */
export interface Build {
  bytes: Uint8Array<ArrayBuffer>;
  tools: Tools;
  sourceSha256: string;
}

// `--import-memory`: the program chooses the size. The stack is small, for nothing here recurses. Atomics compile to
// plain loads and stores without the feature, and the kernel will read this memory.
const RUSTFLAGS = [
  "-C link-arg=--import-memory",
  "-C link-arg=-zstack-size=65536",
  "-C target-feature=+atomics,+bulk-memory",
];
const WASM_PACK = ["wasm-pack", "build", "--mode", "no-install", "--release", "--target", "web", "--no-pack"];

/** SHA-256 in hex. */
export function sha256(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}

/** The files that the core is built from, sorted, relative to the crate. */
export async function sourceFiles(): Promise<string[]> {
  const files = ["Cargo.toml", "Cargo.lock"];
  const walk = async (folder: string): Promise<void> => {
    for await (const entry of Deno.readDir(CRATE + folder)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) await walk(path);
      else files.push(path);
    }
  };
  await walk("src");
  return files.sort();
}

/** One hash over names and contents of all source files. */
export async function sourceHash(): Promise<string> {
  const lines = [];
  for (const file of await sourceFiles()) {
    lines.push(`${sha256(await Deno.readFile(CRATE + file))}  ${file}\n`);
  }
  return sha256(lines.join(""));
}

/** Runs a program; its errors go to the terminal, its output is returned. */
export async function run(command: string[], options: Deno.CommandOptions = {}): Promise<string> {
  const [program, ...args] = command;
  const child = new Deno.Command(program, { ...options, args, stdout: "piped", stderr: "inherit" });
  const { success, code, stdout } = await child.output();
  if (!success) throw new Error(`${command.join(" ")} ended with code ${code}`);
  return new TextDecoder().decode(stdout).trim();
}

async function works(command: string[]): Promise<string | undefined> {
  try {
    const [program, ...args] = command;
    const { success, stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

/** The toolchain that `--toolchain=` names, else the one that is there. */
export async function chooseToolchain(args: string[]): Promise<Toolchain> {
  const wanted = args.find((arg) => arg.startsWith("--toolchain="))?.slice("--toolchain=".length);
  if (wanted === undefined) return await findToolchain();
  if (wanted === "rustup" || wanted === "trixie") return wanted;
  throw new Error(`Cannot build the core: --toolchain is "${wanted}", it must be "rustup" or "trixie"`);
}

/** rustup where it has the target and the tools, else the trixie root. */
async function findToolchain(): Promise<Toolchain> {
  const targets = await works(["rustup", "target", "list", "--installed"]);
  if (!targets?.split("\n").includes("wasm32-unknown-unknown")) return "trixie";
  for (const tool of ["wasm-pack", "wasm-bindgen", "wasm-opt"]) {
    if (await works([tool, "--version"]) === undefined) return "trixie";
  }
  return "rustup";
}

/** Builds the crate. Paths of the build machine are kept out of the bytes. */
export async function build(toolchain: Toolchain): Promise<Build> {
  const sourceSha256 = await sourceHash();
  const { inside, crate, cargoHome } = toolchain === "trixie" ? await trixie() : rustup();
  const flags = [...RUSTFLAGS, `--remap-path-prefix=${cargoHome}=/cargo`].join(" ");
  const place = toolchain === "trixie" ? "/crate" : crate;
  const script = `cd ${place} && RUSTFLAGS="${flags}" ${WASM_PACK.join(" ")} -- --locked 1>&2`;
  await run([...inside, "sh", "-c", script]);
  const tools = {} as Tools;
  for (const tool of ["rustc", "wasm-pack", "wasm-bindgen", "wasm-opt"] as const) {
    tools[tool] = await run([...inside, tool, "--version"]);
  }
  return { bytes: await Deno.readFile(`${crate}/pkg/ringlet_core_bg.wasm`), tools, sourceSha256 };
}

/** How to run something in the toolchain, and where the crate is as seen from here. */
interface Place {
  inside: string[];
  crate: string;
  cargoHome: string;
}

async function trixie(): Promise<Place> {
  const root = (await run([fileURLToPath(new URL("wasm_root.sh", import.meta.url))])).split("\n").at(-1)!;
  const crate = `${root}/crate`;
  await Deno.mkdir(crate, { recursive: true });
  await Deno.remove(`${crate}/src`, { recursive: true }).catch(() => {});
  for (const file of await sourceFiles()) {
    const target = `${crate}/${file}`;
    await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(target, await Deno.readFile(CRATE + file));
  }
  const environment = [
    "HOME=/root",
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld",
  ];
  return { inside: ["chroot", root, "env", "-i", ...environment], crate, cargoHome: "/root/.cargo" };
}

function rustup(): Place {
  const cargoHome = Deno.env.get("CARGO_HOME") ?? `${Deno.env.get("HOME")}/.cargo`;
  return { inside: [], crate: CRATE.replace(/\/$/, ""), cargoHome };
}
