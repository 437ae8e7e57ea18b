/**
 * The chart of the README: everybody's throughput beside C's, a panel for each transport and size.
 *
 * @module
 */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { promised, RUNTIMES, WAYS } from "./contenders.ts";
import type { Row } from "./measure.ts";

const BAR_PIXELS = 14;
const PANEL_PIXELS = 190;
const COLUMNS = 3;

/** Families of contenders, by how their names begin or end, and their colours. */
const FAMILIES: readonly (readonly [name: string, colour: string, test: RegExp])[] = [
  ["C with liburing", "#9aa0a6", /^C /],
  ["Ringlet, a promise per send", "#8ab4f8", /^uring .*promises$/],
  ["Ringlet, batch calls", "#1967d2", /^uring /],
  ["the runtimes' own sockets", "#e8a33d", /./],
];

/** What both transports have from the runtimes. */
const RUNTIME_NAMES = ["Deno's own", "node: on Deno", "node: on Node"];

/** Bars from above. */
const NAMES = [...WAYS.flatMap((way) => [`C ${way}`, `uring ${way}`, promised(`uring ${way}`)]), ...RUNTIME_NAMES];

/** A bar. */
interface Bar {
  readonly panel: string;
  readonly name: string;
  readonly family: string;
  readonly ratio: number;
  readonly low?: number;
  readonly high?: number;
}

/** Bars of the rows that are for the chart, which all have one peer. */
function barsOf(rows: readonly Row[]): Bar[] {
  return rows.map(({ cell, ratio, low, high }) => {
    const [panel, name] = cell.split(": ");
    const [family] = FAMILIES.find(([, , test]) => test.test(name))!;
    const runtime = Math.max(...Object.values(RUNTIMES).map((names) => (names as readonly string[]).indexOf(name)));
    return { panel, name: RUNTIME_NAMES[runtime] ?? name, family, ratio, low, high };
  });
}

/** Smallest payloads first, one transport after the other. */
function panelsOf(bars: readonly Bar[]): string[] {
  const bytes = (panel: string) => Number(panel.replaceAll(/\D/g, ""));
  const transport = (panel: string) => panel.split(" ")[0];
  return [...new Set(bars.map(({ panel }) => panel))].sort((a, b) =>
    transport(b).localeCompare(transport(a)) || bytes(a) - bytes(b)
  );
}

/** Draws rows marked `chart`, as SVG text. */
export async function chart(rows: readonly Row[]): Promise<string> {
  const values = barsOf(rows);
  const y = { field: "name", type: "nominal", sort: NAMES, title: null } as const;
  const spec: TopLevelSpec = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    title: { text: "Throughput, C's zero-copy sends from registered memory = 1", anchor: "start" },
    data: { values },
    facet: { field: "panel", type: "nominal", sort: panelsOf(values), title: null },
    columns: COLUMNS,
    spacing: 12,
    spec: {
      width: PANEL_PIXELS,
      height: { step: BAR_PIXELS },
      layer: [
        {
          mark: { type: "bar" },
          encoding: {
            y,
            x: { field: "ratio", type: "quantitative", title: null },
            color: {
              field: "family",
              type: "nominal",
              title: null,
              sort: null,
              scale: { domain: FAMILIES.map(([name]) => name), range: FAMILIES.map(([, colour]) => colour) },
              legend: { orient: "bottom", columns: FAMILIES.length, labelLimit: 0 },
            },
          },
        },
        {
          // 95% intervals
          mark: { type: "rule", color: "#202124" },
          encoding: { y, x: { field: "low", type: "quantitative" }, x2: { field: "high" } },
        },
        { mark: { type: "rule", strokeDash: [3, 3], color: "#5f6368" }, encoding: { x: { datum: 1 } } },
      ],
    },
    resolve: { scale: { x: "independent" } },
    config: { axis: { labelLimit: 0 }, view: { stroke: null } },
  };
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
