// What the page shows is in its address: a link to it shows the same to somebody else.
const asked = new URLSearchParams(location.search);

export const RANGES = [
  ["5m", 300, "5 minutes"], ["15m", 900, "15 minutes"], ["1h", 3600, "1 hour"], ["3h", 10800, "3 hours"],
  ["6h", 21600, "6 hours"], ["24h", 86400, "24 hours"], ["7d", 604800, "7 days"],
];

export const state = {
  dashboard: asked.get("dashboard") ?? "",
  environment: asked.get("environment") ?? "",
  colour: asked.get("colour") ?? "all",
  range: RANGES.some(([name]) => name === asked.get("range")) ? asked.get("range") : "15m",
  zoom: null, // {from, to} in seconds, after dragging over a chart
  paused: false,
};

const listeners = new Set();
export const onChange = (listener) => listeners.add(listener);

/** Change some of it, put it into the address, tell everybody. */
export function change(part) {
  Object.assign(state, part);
  const query = new URLSearchParams(location.search);
  for (const name of ["dashboard", "environment", "colour", "range"]) query.set(name, state[name]);
  history.replaceState(null, "", `?${query}`);
  for (const listener of listeners) listener(part);
}

/** The time shown, in seconds, and a step that gives about one point for every third pixel. */
export function span(pixels = 600) {
  const length = RANGES.find(([name]) => name === state.range)[1];
  const now = Math.floor(Date.now() / 1000);
  const { from, to } = state.zoom ?? { from: now - length, to: now };
  const step = Math.max(5, Math.ceil((to - from) / Math.max(60, pixels / 3) / 5) * 5);
  return { from: Math.floor(from / step) * step, to: Math.floor(to / step) * step, step };
}
