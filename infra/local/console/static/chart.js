// Lines over time: uPlot where it could be had, plain SVG paths where not. Same data, same look.
import { h, svg, themed } from "./dom.js";
import { change } from "./state.js";
import { clock, text } from "./units.js";

const GROUP = "superagent"; // one crosshair over all charts
let tip = null;

/** `data`: {times, step, series: [{name, colour, values}], unit, stacked, min, max, limits, marks} */
export function chart(place, data, kept) {
  const drawer = window.uPlot ? withLibrary : plain;
  return drawer(place, data, kept);
}

/** Values as drawn: stacked ones stand on each other. */
export function layers(series, stacked) {
  const shown = series.filter((one) => !one.hidden);
  if (!stacked) return shown.map((one) => one.values);
  const sum = new Array(shown[0]?.values.length ?? 0).fill(0);
  const known = sum.map((_, index) => shown.some((one) => one.values[index] !== null));
  return shown.map((one) => one.values.map((value, index) => known[index] ? (sum[index] += value ?? 0) : null));
}

function withLibrary(place, data, kept) {
  const shown = data.series.filter((one) => !one.hidden);
  const values = layers(data.series, data.stacked);
  const order = data.stacked ? shown.map((_, index) => index).reverse() : shown.map((_, index) => index);
  const columns = [data.times, ...order.map((index) => values[index])];
  const names = order.map((index) => `${shown[index].name}${shown[index].colour}`).join("|");
  const size = { width: place.clientWidth, height: place.clientHeight };
  const key = `${names}|${data.stacked}|${document.documentElement.dataset.theme}`;
  if (kept?.key === key && kept.plot) {
    kept.data = data;
    kept.plot.batch(() => { kept.plot.setData(columns); });
    if (kept.plot.width !== size.width || kept.plot.height !== size.height) kept.plot.setSize(size);
    return kept;
  }
  kept?.plot?.destroy();
  place.replaceChildren();
  const own = { key, data };
  own.plot = new uPlot(options(own, shown, order, size), columns, place);
  return own;
}

function options(own, shown, order, size) {
  const axis = { stroke: themed("--faint"), font: `11px ${themed("--font")}`, ticks: { show: false }, grid: { stroke: themed("--line"), width: 1 } };
  const { data } = own;
  return {
    ...size,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: GROUP }, drag: { x: true, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, low, high) => limits(own.data, low, high) } },
    axes: [
      { ...axis, space: 70, values: (_, splits) => splits.map((at) => clock(at, false, splits[1] - splits[0] < 60)), grid: { show: false }, size: 26 },
      { ...axis, size: 58, space: 34, values: (_, splits) => splits.map((value) => text(value, data.unit)) },
    ],
    series: [{}, ...order.map((index) => ({
      label: shown[index].name,
      stroke: shown[index].colour,
      width: 1.8,
      fill: (plot) => wash(plot, shown[index].colour, data.stacked ? 0.55 : shown.length === 1 ? 0.28 : 0.1),
      points: { show: false },
      spanGaps: false,
    }))],
    hooks: {
      draw: [(plot) => extras(plot, own.data)],
      setCursor: [(plot) => hover(plot, own.data)],
      setSelect: [(plot) => zoom(plot)],
    },
  };
}

function limits(data, low, high) {
  const top = Math.max(high ?? 0, ...data.limits.filter((one) => one.value <= (high ?? 0) * 1.6).map((one) => one.value));
  const floor = data.min ?? Math.min(0, low ?? 0);
  if (data.max !== undefined && data.max !== null) return [floor, data.max];
  return [floor, top > floor ? top * 1.08 : floor + 1];
}

function wash(plot, colour, strength) {
  const { top, height } = plot.bbox;
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
  gradient.addColorStop(0, faded(colour, strength));
  gradient.addColorStop(1, faded(colour, strength * 0.12));
  return gradient;
}

export function faded(hex, alpha) {
  return `${hex}${Math.round(alpha * 255).toString(16).padStart(2, "0")}`;
}

/** Thresholds as dashed lines, release steps and alerts as marks. */
function extras(plot, data) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const limit of data.limits) {
    const y = plot.valToPos(limit.value, "y", true);
    if (y < bbox.top || y > bbox.top + bbox.height) continue;
    ctx.strokeStyle = faded(limit.colour, 0.75);
    ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
  }
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const mark of data.marks) {
    const x = plot.valToPos(mark.at, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = faded(mark.colour, 0.7);
    ctx.fillStyle = mark.colour;
    ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
    ctx.beginPath(); ctx.arc(x, bbox.top + 3 * devicePixelRatio, 3 * devicePixelRatio, 0, 7); ctx.fill();
  }
  ctx.restore();
}

function hover(plot, data) {
  const { idx, left, top } = plot.cursor;
  const inside = plot.over.matches(":hover");
  if (!inside || idx === null || idx === undefined || left < 0) {
    if (tip?.owner === plot) { tip.remove(); tip = null; }
    return;
  }
  const at = data.times[idx];
  const rows = data.series.filter((one) => !one.hidden && one.values[idx] !== null)
    .sort((a, b) => b.values[idx] - a.values[idx]).slice(0, 12)
    .map((one) => h("div", { style: { "--tone": one.colour } }, h("i"), h("span", {}, one.name), h("b", {}, text(one.values[idx], data.unit))));
  const near = data.marks.filter((mark) => Math.abs(mark.at - at) <= data.step)
    .map((mark) => h("div", { style: { "--tone": mark.colour } }, h("i"), h("span", {}, mark.text)));
  if (tip && tip.owner !== plot) tip.remove();
  tip = tip?.owner === plot ? tip : Object.assign(h("div.tip"), { owner: plot });
  tip.replaceChildren(h("time", {}, clock(at, true)), ...rows, ...near);
  const box = plot.over.getBoundingClientRect();
  document.body.append(tip);
  const x = box.left + left + 16;
  tip.style.left = `${x + tip.offsetWidth > innerWidth - 8 ? box.left + left - tip.offsetWidth - 16 : x}px`;
  tip.style.top = `${Math.min(box.top + top + 12, innerHeight - tip.offsetHeight - 8)}px`;
}

function zoom(plot) {
  const { left, width } = plot.select;
  if (width < 8) return;
  const from = Math.round(plot.posToVal(left, "x"));
  const to = Math.round(plot.posToVal(left + width, "x"));
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  change({ zoom: { from, to } });
}

/** The same lines as SVG: no crosshair and no zoom, but everything to be seen. */
function plain(place, data) {
  const shown = data.series.filter((one) => !one.hidden);
  const values = layers(data.series, data.stacked);
  const [width, height, left, bottom] = [place.clientWidth, place.clientHeight, 58, 22];
  const all = values.flat().filter((value) => value !== null);
  const [low, high] = limits(data, Math.min(...all), all.length ? Math.max(...all) : 0);
  const x = (index) => left + ((width - left - 6) * index) / Math.max(1, data.times.length - 1);
  const y = (value) => 8 + (height - bottom - 8) * (1 - (value - low) / (high - low || 1));
  const path = (line) => line.map((value, index) => value === null ? "" : `${index && line[index - 1] !== null ? "L" : "M"}${x(index).toFixed(1)},${y(value).toFixed(1)}`).join("");
  const picture = svg("svg", { width, height, class: "plain" });
  for (const share of [0, 0.5, 1]) {
    const value = low + (high - low) * share;
    picture.append(svg("line", { x1: left, x2: width - 6, y1: y(value), y2: y(value), stroke: themed("--line") }));
    picture.append(svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end", fill: themed("--faint"), "font-size": 11 }, text(value, data.unit)));
  }
  for (const [index, anchor] of [[0, "start"], [data.times.length - 1, "end"]]) {
    picture.append(svg("text", { x: x(index), y: height - 5, "text-anchor": anchor, fill: themed("--faint"), "font-size": 11 }, clock(data.times[index])));
  }
  values.forEach((line, index) => picture.append(svg("path", { d: path(line), fill: "none", stroke: shown[index].colour, "stroke-width": 1.8 })));
  place.replaceChildren(picture);
  return null;
}
