// Questions to Prometheus, through this page's own server.
import { state, span } from "./state.js";

let scrape = 5; // seconds between two points of the slowest target; `measure` knows better
const AT_ONCE = 6;
let running = 0;
const waiting = [];

/** A JSON answer, or an error with the server's own words. */
export async function ask(path) {
  if (running >= AT_ONCE) await new Promise((go) => waiting.push(go));
  running += 1;
  try {
    const answer = await fetch(path);
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error?.message ?? body.error ?? `HTTP ${answer.status}`);
    return body;
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

/** How often this Prometheus looks at its targets, which no configuration tells us: 5 s here, 15 s elsewhere. */
export async function measure() {
  const answer = await ask(`/api/prometheus/query?${new URLSearchParams({ query: "up[5m]" })}`);
  const gaps = answer.data.result.filter(({ values }) => values.length > 1)
    .map(({ values }) => (values.at(-1)[0] - values[0][0]) / (values.length - 1));
  if (gaps.length) scrape = Math.max(1, Math.round(Math.max(...gaps)));
}

/** Put the page's choices where Grafana puts its variables. */
export function fill(expr, step) {
  // As Grafana defines it: never shorter than four scrapes, or rate() sees one point only.
  const window = Math.max(step + scrape, 4 * scrape);
  return expr
    .replaceAll("$__rate_interval", `${window}s`)
    .replaceAll("$environment", state.environment)
    .replaceAll("$colour", state.colour === "all" ? ".*" : state.colour);
}

/** Every target of a panel over the shown time: series with names, on one time axis. */
export async function ranges(targets, pixels) {
  const { from, to, step } = span(pixels);
  const times = [];
  for (let at = from; at <= to; at += step) times.push(at);
  const slot = new Map(times.map((at, index) => [at, index]));
  const answers = await Promise.all(targets.map((target) => {
    const query = new URLSearchParams({ query: fill(target.expr, step), start: from, end: to, step });
    return ask(`/api/prometheus/query_range?${query}`);
  }));
  const series = answers.flatMap((answer, index) => answer.data.result.map((found) => {
    const values = new Array(times.length).fill(null);
    for (const [at, text] of found.values) {
      const value = Number(text);
      if (slot.has(at) && Number.isFinite(value)) values[slot.get(at)] = value;
    }
    return { name: named(targets[index].legendFormat, found.metric), labels: found.metric, values };
  }));
  series.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  return { times, step, series };
}

/** The labels' values that a variable offers. */
export async function values(label, matcher = "") {
  const query = new URLSearchParams(matcher ? { "match[]": matcher } : {});
  return (await ask(`/api/prometheus/label/${label}/values?${query}`)).data;
}

/** One value now, or null. */
export async function now(expr) {
  const answer = await ask(`/api/prometheus/query?${new URLSearchParams({ query: fill(expr, 15) })}`);
  const value = Number(answer.data.result[0]?.value?.[1]);
  return Number.isFinite(value) ? value : null;
}

/** One value a colour now. */
export async function byColour(expr) {
  const answer = await ask(`/api/prometheus/query?${new URLSearchParams({ query: fill(expr, 15) })}`);
  return Object.fromEntries(answer.data.result.map((one) => [one.metric.colour, Number(one.value[1])]));
}

function named(format, labels) {
  if (format) return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? "").trim();
  return Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(" ") || "value";
}
