// Numbers as people read them: `[text, unit]` for each of Grafana's units that the dashboards use.
const digits = (value) => {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1).replace(/\.0$/, "");
  if (size >= 1) return value.toFixed(2).replace(/\.?0+$/, "");
  return value.toPrecision(2).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
};

function scaled(value, steps) {
  const [size, unit] = steps.find(([limit]) => Math.abs(value) >= limit) ?? steps.at(-1);
  return [digits(value / (size || 1)), unit];
}

const SHORT = [[1e9, "B"], [1e6, "M"], [1e3, "k"], [0, ""]];
const BYTES = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [0, "B"]];
const FINE = [[60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"], [0, "s"]];

/** 3 h 12 min, 2 d 4 h: the two largest parts. */
export function duration(seconds) {
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.max(0, Math.round(seconds));
  const words = [];
  for (const [unit, size] of parts) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count || (unit === "s" && !words.length)) words.push(`${count} ${unit}`);
  }
  return words.slice(0, 2).join(" ");
}

export function format(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return ["–", ""];
  switch (unit) {
    case "percentunit": return [digits(value * 100), "%"];
    case "s": return Math.abs(value) < 1e-6 ? ["0", "s"] : scaled(value, FINE);
    case "dtdurations": return [duration(value), ""];
    case "bytes": return scaled(value, BYTES);
    case "currencyUSD": return [`$${digits(value)}`, ""];
    case "reqps": return [scaled(value, SHORT).join(""), "req/s"];
    case "ops": return [scaled(value, SHORT).join(""), "/s"];
    default: return [scaled(value, SHORT).join(""), ""];
  }
}

export const text = (value, unit) => format(value, unit).join(" ").trim();
export const clock = (seconds, long = false, fine = false) => new Date(seconds * 1000).toLocaleString("en-GB", long
  ? { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" }
  : { hour: "2-digit", minute: "2-digit", ...(fine ? { second: "2-digit" } : {}) });

/** How long ago, in one word and a number. */
export function ago(moment) {
  const seconds = Math.max(0, (Date.now() - new Date(moment)) / 1000);
  return seconds < 5 ? "just now" : `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago`;
}
