// One function a kind of Grafana panel: (place, panel, found, kept) draws and returns what it keeps.
import { chart, faded } from "./chart.js";
import { h, palette, svg, themed, tone } from "./dom.js";
import { clock, format, text } from "./units.js";

const last = (values) => values.findLast((value) => value !== null) ?? null;
const defaults = (panel) => panel.fieldConfig.defaults;

/** Threshold colour of a value; null while it is in the first, good, step. */
function stepColour(panel, value) {
  const steps = defaults(panel).thresholds?.steps ?? [];
  const reached = steps.filter((step) => step.value === null || step.value === undefined || value >= step.value);
  const step = reached.at(-1);
  return step && (steps.length > 1) ? tone(step.color) : null;
}

/** What a number means here (`up`, `open`), if the panel says so. */
function meaning(panel, value) {
  for (const mapping of defaults(panel).mappings ?? []) {
    const found = mapping.type === "value" && value !== null ? mapping.options[String(value)] : null;
    if (found) return { text: found.text, colour: tone(found.color) };
  }
  return value === null ? { text: "no data", colour: themed("--faint") } : null;
}

function fixedColour(panel, name) {
  for (const override of panel.fieldConfig.overrides ?? []) {
    const matcher = override.matcher.options;
    if (new RegExp(matcher).test(name)) return tone(override.properties[0].value.fixedColor);
  }
  return null;
}

export function stat(place, panel, found) {
  const mapped = (defaults(panel).mappings ?? []).length > 0;
  const cells = found.series.map((one) => {
    const value = last(one.values);
    const known = mapped ? meaning(panel, value) : null;
    const colour = known?.colour ?? stepColour(panel, value);
    const [number, unit] = known ? [known.text, ""] : format(value, defaults(panel).unit);
    const named = found.series.length > 1 || panel.options.textMode === "value_and_name";
    const solo = one.name === "value" || !one.name.trim();
    return h(`div.stat${mapped ? ".is-state" : panel.options.graphMode === "area" ? ".has-spark" : ""}`, { style: colour ? { "--tone": colour } : {} },
      !mapped && panel.options.graphMode === "area" && spark(one.values, colour ?? themed("--blue")),
      named && !solo && h("span.name", {}, one.name || panel.title),
      h("span.value", {}, number, unit && " ", unit && h("small", {}, unit)));
  });
  place.replaceChildren(h(`div.stats${cells.length > 2 ? ".many" : ""}`, {}, cells));
  return null;
}

function spark(values, colour) {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const y = (value) => 28 - 24 * ((value - low) / (high - low || 1)) - (high === low ? 12 : 0);
  const points = values.map((value, index) => value === null ? null : `${((index * 100) / (values.length - 1)).toFixed(2)},${y(value).toFixed(2)}`).filter(Boolean);
  if (points.length < 2) return null;
  const [first, end] = [points[0].split(",")[0], points.at(-1).split(",")[0]];
  return svg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" },
    svg("polygon", { points: `${first},30 ${points.join(" ")} ${end},30`, fill: faded(colour, 0.13) }),
    svg("polyline", { points: points.join(" "), fill: "none", stroke: faded(colour, 0.75), "stroke-width": 1.6, "vector-effect": "non-scaling-stroke" }));
}

export function timeseries(place, panel, found, kept, marks) {
  const own = kept ?? { hidden: new Set() };
  if (!own.plot) {
    own.plot = h("div.plot");
    own.legend = h("div.legend");
    place.replaceChildren(own.plot, own.legend);
    place.style.cssText = "display:flex;flex-direction:column";
  }
  found.series.forEach((one, index) => {
    one.colour = fixedColour(panel, one.name) ?? palette(index);
    one.hidden = own.hidden.has(one.name);
  });
  const unit = defaults(panel).unit;
  const steps = (defaults(panel).thresholds?.steps ?? []).filter((step) => step.value);
  const drawn = panel.fieldConfig.defaults.custom?.thresholdsStyle?.mode === "dashed";
  const data = {
    ...found, unit, marks,
    stacked: defaults(panel).custom?.stacking?.mode === "normal",
    min: defaults(panel).min, max: defaults(panel).max,
    limits: drawn ? steps.map((step) => ({ value: step.value, colour: tone(step.color) })) : [],
  };
  own.legend.replaceChildren(...found.series.map((one) => h("button", {
    type: "button", "aria-pressed": String(!one.hidden), style: { "--tone": one.colour }, title: `Show or hide ${one.name}`,
    onclick: () => { own.hidden[own.hidden.has(one.name) ? "delete" : "add"](one.name); timeseries(place, panel, found, own, marks); },
  }, h("i"), h("span", {}, one.name), h("b", {}, text(last(one.values), unit)))));
  own.chart = chart(own.plot, data, own.chart);
  return own;
}

/** Cumulative buckets become a picture: the darker, the more requests took that long. */
export function heatmap(place, panel, found) {
  const bounds = found.series.map((one) => ({ edge: one.labels.le === "+Inf" ? Infinity : Number(one.labels.le), values: one.values }))
    .sort((a, b) => a.edge - b.edge);
  const cells = bounds.map((one, index) => one.values.map((value, at) => Math.max(0, (value ?? 0) - (bounds[index - 1]?.values[at] ?? 0))));
  const used = cells.map((row, index) => [row.some((value) => value > 0.01), index]).filter(([some]) => some).map(([, index]) => index);
  if (!used.length) { place.replaceChildren(h("p.empty", {}, "no requests in this time")); return null; }
  const [low, high] = [Math.max(0, used[0] - 1), Math.min(cells.length - 1, used.at(-1) + 1)];
  const rows = cells.slice(low, high + 1);
  const canvas = h("canvas.heat", { role: "img", "aria-label": panel.title });
  place.replaceChildren(canvas);
  const [width, height, left, bottom] = [place.clientWidth, place.clientHeight, 58, 22];
  canvas.width = width * devicePixelRatio; canvas.height = height * devicePixelRatio;
  const pen = canvas.getContext("2d");
  pen.scale(devicePixelRatio, devicePixelRatio);
  // Whole pixels, or neighbours overlap and the picture gets stripes that are not in the data.
  const column = (at) => Math.round(left + ((width - left - 6) * at) / found.times.length);
  const t = (height - bottom - 6) / rows.length;
  const most = Math.max(...rows.flat());
  const hot = themed("--amber");
  rows.forEach((row, index) => {
    const y = 6 + (rows.length - 1 - index) * t;
    row.forEach((value, at) => {
      if (value <= 0.01) return;
      pen.fillStyle = faded(hot, 0.12 + 0.88 * Math.sqrt(value / most));
      const room = column(at + 1) - column(at);
      pen.fillRect(column(at), Math.round(y), Math.max(1, room - (room > 4 ? 1 : 0)), Math.max(1, Math.round(y + t) - Math.round(y) - 1));
    });
    if ((rows.length - index) % Math.ceil(rows.length / 6) === 0) {
      pen.fillStyle = themed("--faint"); pen.font = `11px ${themed("--font")}`; pen.textAlign = "right";
      const edge = bounds[low + index].edge;
      pen.fillText(edge === Infinity ? "more" : text(edge, "s"), left - 8, y + 4);
    }
  });
  pen.fillStyle = themed("--faint"); pen.textAlign = "left"; pen.font = `11px ${themed("--font")}`;
  pen.fillText(clock(found.times[0]), left, height - 6); pen.textAlign = "right"; pen.fillText(clock(found.times.at(-1)), width - 6, height - 6);
  return null;
}

export function statetimeline(place, panel, found) {
  const rows = found.series.flatMap((one) => {
    const runs = [];
    for (const value of one.values) {
      if (runs.at(-1)?.value === value) runs.at(-1).length += 1;
      else runs.push({ value, length: 1 });
    }
    const spans = runs.map((run) => {
      const known = meaning(panel, run.value);
      const quiet = run.value === null;
      return h("span", { title: known?.text ?? String(run.value), style: { flex: `${run.length} 0 0`, ...(quiet ? { visibility: "hidden" } : { "--tone": known?.colour ?? themed("--faint") }) } },
        quiet ? "" : known?.text ?? String(run.value));
    });
    return [h("span.name", { title: one.name }, one.name), h("div.band", {}, spans)];
  });
  const scale = h("div.scale", {}, h("span", {}, clock(found.times[0])), h("span", {}, clock(found.times.at(-1))));
  place.replaceChildren(h("div.bands", {}, rows, scale));
  return null;
}

export function bargauge(place, panel, found) {
  const { unit, max } = defaults(panel);
  const values = found.series.map((one) => last(one.values) ?? 0);
  const top = max ?? (Math.max(...values) || 1);
  const rows = found.series.map((one, index) => h("div.bar-row", { style: { "--tone": stepColour(panel, values[index]) ?? fixedColour(panel, one.name) ?? (one.name.startsWith("green") ? themed("--green") : themed("--blue")) } },
    h("span.name", { title: one.name }, one.name), h("b", {}, text(values[index], unit)),
    h("div.track", {}, h("span", { style: { width: `${Math.min(100, (100 * values[index]) / top)}%` } }))));
  place.replaceChildren(h("div.bars", {}, rows));
  return null;
}

export const KINDS = { stat, timeseries, heatmap, "state-timeline": statetimeline, bargauge };

/** What a screen reader says of a panel. */
export function spoken(panel, found) {
  const unit = defaults(panel).unit;
  return found.series.slice(0, 8).map((one) => {
    const value = last(one.values);
    return `${one.name === "value" ? "" : one.name} ${meaning(panel, value)?.text ?? text(value, unit)}`.trim();
  }).join(", ") || "no data";
}
