// A Grafana dashboard's JSON becomes rows of panels; each fetches only while it can be seen.
import { $, h, tone } from "./dom.js";
import { openRunbook } from "./drawer.js";
import { KINDS, spoken } from "./kinds.js";
import { ask, ranges } from "./prometheus.js";
import { span } from "./state.js";

let shown = [];
let marks = [];
let current = null;
const seen = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    target.panel.visible = isIntersecting;
    if (isIntersecting && target.panel.stale) refresh(target.panel);
  }
}, { rootMargin: "200px" });

/** Show a dashboard; the same again keeps its panels. */
export async function show(uid) {
  const board = await ask(`/dashboards/${uid}.json`);
  if (current?.uid === uid) return update();
  current = board;
  seen.disconnect();
  shown = [];
  const rows = [];
  for (const panel of board.panels) {
    if (panel.type === "row") rows.push({ title: panel.title, grid: h("div.grid") });
    else rows.at(-1).grid.append(frame(panel));
  }
  $("panels").replaceChildren(...rows.map(({ title, grid }) => h("section", { "aria-label": title }, h("h2.row-title", {}, title), grid)));
  for (const one of shown) seen.observe(one.element);
  return update();
}

function frame(panel) {
  const place = h("div.plot");
  const book = panel.links?.map((link) => link.title.split(": ")[1]).find(Boolean);
  const wide = panel.gridPos.w > 6;
  const element = h(`article.panel${wide ? ".is-wide" : ""}`, {
    tabindex: "0", "data-kind": panel.type, "data-title": panel.title, "aria-label": panel.title,
    style: { "--w": panel.gridPos.w, "--h": panel.gridPos.h },
  }, h("header", {}, h("h3", { title: panel.description }, panel.title),
    book && h("button.book", { type: "button", onclick: () => openRunbook(book) }, "runbook")), place);
  element.panel = { panel, element, place, kept: null, stale: true, visible: false, turn: 0 };
  shown.push(element.panel);
  return element;
}

/** Fetch again what can be seen; the rest when it comes into view. */
export async function update() {
  for (const one of shown) one.stale = true;
  marks = await annotations();
  await Promise.all(shown.filter((one) => one.visible).map(refresh));
}

/** Draw again with new colours or a new size. */
export function redraw() {
  for (const one of shown) if (one.found) draw(one);
}

async function refresh(one) {
  one.stale = false;
  const turn = ++one.turn;
  try {
    const found = await ranges(one.panel.targets, one.place.clientWidth);
    if (turn !== one.turn) return; // a later question was asked meanwhile
    one.found = found;
    draw(one);
  } catch (failed) {
    if (turn === one.turn) empty(one, failed.message, true);
  }
}

function draw(one) {
  if (!one.found.series.length) return empty(one, one.panel.fieldConfig.defaults.noValue ?? "no data", false);
  if (one.place.querySelector(":scope > .empty")) one.kept = null;
  one.kept = (KINDS[one.panel.type] ?? unknown)(one.place, one.panel, one.found, one.kept, marks);
  one.element.setAttribute("aria-label", `${one.panel.title}: ${spoken(one.panel, one.found)}`);
  one.element.dataset.state = "drawn";
}

function empty(one, message, failed) {
  one.kept?.chart?.plot?.destroy();
  one.kept = null;
  one.place.replaceChildren(h(`p.empty${failed ? ".is-error" : ""}`, {}, message));
  one.element.setAttribute("aria-label", `${one.panel.title}: ${message}`);
  one.element.dataset.state = failed ? "failed" : "empty";
}

function unknown(place, panel) {
  place.replaceChildren(h("p.empty", {}, `this page draws no ${panel.type} panels`));
  return null;
}

/** Release steps and alerts, as vertical marks on every chart: the first moment of each. */
async function annotations() {
  const notes = current?.annotations?.list ?? [];
  const found = await Promise.all(notes.map(async (note) => {
    try {
      const { series, times } = await ranges([{ expr: note.expr }], 600);
      return series.flatMap((one) => starts(one.values).map((index) => ({
        at: times[index], colour: tone(note.iconColor),
        text: [note.titleFormat, note.textFormat].map((format) => (format ?? "").replace(/\{\{(\w+)\}\}/g, (_, label) => one.labels[label] ?? "")).join(" "),
      })));
    } catch { return []; }
  }));
  const { from } = span();
  return found.flat().filter((mark) => mark.at > from);
}

function starts(values) {
  return values.flatMap((value, index) => value !== null && (values[index - 1] ?? null) === null && index > 0 ? [index] : []);
}

let resized = 0;
addEventListener("resize", () => { cancelAnimationFrame(resized); resized = requestAnimationFrame(redraw); });
