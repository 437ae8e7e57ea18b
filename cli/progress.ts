/**
 * A progress bar, for terminals only.
 *
 * @module
 */
import process from "node:process";
import { bytesText, clockText } from "./format.ts";

const TICK_MS = 100;
/** The shown rate is that of about so many ticks. */
const RATE_TICKS = 20;
const BAR_CELLS = 24;
const CLEAR_LINE = "\r\x1b[K";

/** See the module. */
export class Progress implements Disposable {
  bytes = 0;
  readonly #label: string;
  readonly #totalBytes: number;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #lastMs = performance.now();
  #lastBytes = 0;
  #bytesPerSecond = 0;
  #ticks = 0;

  /** @param quiet Draws nothing, as on anything that is no terminal. */
  constructor(label: string, totalBytes: number, quiet: boolean) {
    this.#label = label;
    this.#totalBytes = totalBytes;
    if (process.stderr.isTTY && !quiet) this.#timer = setInterval(() => this.#draw(), TICK_MS);
  }

  #draw(): void {
    const now = performance.now();
    const rate = (this.bytes - this.#lastBytes) / (now - this.#lastMs) * 1000;
    this.#ticks = Math.min(this.#ticks + 1, RATE_TICKS);
    this.#bytesPerSecond += (rate - this.#bytesPerSecond) / this.#ticks;
    this.#lastMs = now;
    this.#lastBytes = this.bytes;
    const line = progressLine(this.#label, this.bytes, this.#totalBytes, this.#bytesPerSecond);
    process.stderr.write(CLEAR_LINE + line.slice(0, (process.stderr.columns || 80) - 1));
  }

  /** Takes the bar away. */
  [Symbol.dispose](): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    process.stderr.write(CLEAR_LINE);
  }
}

/** `send [####----] 50%  1.00 GB of 2.00 GB  500 MB/s  0:02 left` */
export function progressLine(label: string, bytes: number, totalBytes: number, bytesPerSecond: number): string {
  const share = totalBytes === 0 ? 1 : Math.min(bytes / totalBytes, 1);
  const filled = Math.round(share * BAR_CELLS);
  const bar = "#".repeat(filled) + "-".repeat(BAR_CELLS - filled);
  const left = clockText((totalBytes - bytes) / bytesPerSecond);
  return `${label} [${bar}] ${String(Math.floor(share * 100)).padStart(3)}%  ` +
    `${bytesText(bytes)} of ${bytesText(totalBytes)}  ${bytesText(Math.round(bytesPerSecond))}/s  ${left} left`;
}
