// The page: controls on top, cards, panels; one clock refreshes what can be seen.
import { $, h, svg } from "./dom.js";
import { openKeys, wire } from "./drawer.js";
import * as cards from "./now.js";
import * as panels from "./panels.js";
import { ask, measure, values } from "./prometheus.js";
import { change, onChange, RANGES, state } from "./state.js";

const CARD_SECONDS = 2;
const COLOURS = [["all", "All"], ["blue", "Blue"], ["green", "Green"]];
const ICONS = { pause: ["M9 5v14", "M15 5v14"], play: ["M8 5.5v13l10-6.5z"], dark: ["M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"], light: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", "M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4"] };
let boards = [];

const icon = (name) => svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, ...ICONS[name].map((d) => svg("path", { d })));

async function start() {
  wire();
  const found = await ask("/api/dashboards");
  if (found.charts) await library();
  boards = found.dashboards;
  if (!boards.some((one) => one.uid === state.dashboard)) state.dashboard = boards[0].uid;
  const known = await values("environment").catch((failed) => { notice(`Prometheus does not answer: ${failed.message}. \`superagent status\` says which part is missing.`); return []; });
  await measure().catch(() => {}); // the notice above says that Prometheus is gone
  if (!known.includes(state.environment)) state.environment = known.includes("local") ? "local" : known[0] ?? "local";
  $("environment").append(...(known.length ? known : [state.environment]).map((name) => h("option", { value: name }, name)));
  $("range").append(...RANGES.map(([name, , words]) => h("option", { value: name }, words)));
  $("environment").addEventListener("change", (event) => change({ environment: event.target.value }));
  $("range").addEventListener("change", (event) => change({ range: event.target.value, zoom: null }));
  $("pause").addEventListener("click", () => change({ paused: !state.paused }));
  $("theme").addEventListener("click", toggleTheme);
  $("help").addEventListener("click", openKeys);
  addEventListener("keydown", keys);
  onChange(render);
  onChange((part) => { if (!("paused" in part)) { panels.show(state.dashboard); cards.update(); } });
  render();
  tick();
  await Promise.all([panels.show(state.dashboard), cards.update()]);
  document.body.dataset.ready = "true";
}

/** The chart library is an ordinary script: it comes from a cache of this machine, not from the checkout. */
function library() {
  document.head.append(h("link", { rel: "stylesheet", href: "/library/uPlot.min.css" }));
  return new Promise((done) => document.head.append(h("script", { src: "/library/uPlot.iife.min.js", onload: done, onerror: done })));
}

function render() {
  $("tabs").replaceChildren(...boards.map(({ uid, title }, index) => h("a", {
    href: `?dashboard=${uid}`, "aria-current": uid === state.dashboard ? "page" : null, title: `${title} (${index + 1})`,
    onclick: (event) => { event.preventDefault(); change({ dashboard: uid, zoom: null }); scrollTo({ top: 0 }); },
  }, title.replace("SuperAgent / ", ""))));
  showTab();
  $("colour").replaceChildren(...COLOURS.map(([name, words]) => h("button", {
    type: "button", role: "radio", "aria-checked": String(state.colour === name), tabindex: state.colour === name ? "0" : "-1", "data-colour": name,
    onclick: () => change({ colour: name }),
    onkeydown: (event) => { const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key]; if (by) { change({ colour: next(COLOURS, name, by) }); $("colour").querySelector('[aria-checked="true"]').focus(); } },
  }, name !== "all" && h(`span.dot.${name}`), words)));
  $("environment").value = state.environment;
  $("range").value = state.range;
  $("pause").setAttribute("aria-pressed", String(state.paused));
  $("pause").replaceChildren(icon(state.paused ? "play" : "pause"));
  $("theme").replaceChildren(icon(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  notice(state.zoom ? "You are looking at a part of the time. Esc goes back." : "");
}

/** On a phone the tabs are wider than the page. (scrollIntoView would move where the next Tab key goes.) */
function showTab() {
  const [all, tab] = [$("tabs"), $("tabs").querySelector("[aria-current]")];
  if (tab) all.scrollLeft += tab.getBoundingClientRect().left - all.getBoundingClientRect().left - (all.clientWidth - tab.offsetWidth) / 2;
}

const next = (list, name, by) => list[(list.findIndex(([one]) => one === name) + by + list.length) % list.length][0];

function notice(words) {
  $("notice").textContent = words;
  $("notice").hidden = !words;
}

function toggleTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  render();
  panels.redraw();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(SELECT|INPUT)$/.test(event.target.tagName)) return;
  const key = event.key.toLowerCase();
  const board = boards[Number(key) - 1];
  const range = RANGES.findIndex(([name]) => name === state.range);
  if (board) change({ dashboard: board.uid, zoom: null });
  else if (key === "a" || key === "b" || key === "g") change({ colour: { a: "all", b: "blue", g: "green" }[key] });
  else if (key === "[" || key === "]") change({ range: RANGES[Math.min(RANGES.length - 1, Math.max(0, range + (key === "]" ? 1 : -1)))][0], zoom: null });
  else if (key === "escape" && state.zoom) change({ zoom: null });
  else if (key === "p") change({ paused: !state.paused });
  else if (key === "t") toggleTheme();
  else if (key === "?") openKeys();
  else return;
  event.preventDefault();
}

/** Cards every two seconds; panels as often as a new point can show. Nothing while nobody looks. */
async function tick() {
  let due = 0;
  for (;;) {
    await new Promise((go) => setTimeout(go, CARD_SECONDS * 1000));
    if (state.paused || document.hidden) continue;
    await cards.update();
    const seconds = RANGES.find(([name]) => name === state.range)[1];
    due += CARD_SECONDS;
    if (due >= Math.min(60, Math.max(5, seconds / 180)) && !state.zoom) { due = 0; await panels.update(); }
  }
}

start().catch((failed) => notice(failed.message));
