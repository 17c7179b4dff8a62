// The four cards on top: how it is, where traffic goes, what runs, what could be restored.
import { $, h } from "./dom.js";
import { openAlert, toneOf } from "./drawer.js";
import { ask, byColour, now } from "./prometheus.js";
import { state } from "./state.js";
import { ago, duration, text } from "./units.js";

const COLOURS = ["blue", "green"];

const USERS = 'environment="$environment",path!~"/health/.*"';
const CALLS = `sum by (colour) (rate(superagent_http_requests_total{${USERS}}[$__rate_interval]))`;
const FAILED = `sum by (colour) (rate(superagent_http_requests_total{${USERS},status=~"5.."}[$__rate_interval]))`;
const MEASURES = [
  ["requests", CALLS, "reqps"],
  ["errors", `(${FAILED} or ${CALLS} * 0) / ${CALLS}`, "percentunit"],
  ["p95", `histogram_quantile(0.95, sum by (le, colour) (rate(superagent_http_request_duration_seconds_bucket{${USERS}}[$__rate_interval])))`, "s"],
];

export async function update() {
  await Promise.all([card("verdict", verdict), card("release", release), card("parts", parts), card("recovery", recovery)]);
}

async function card(id, draw) {
  try {
    $(id).replaceChildren(...await draw());
  } catch (failed) {
    $(id).replaceChildren(h("h2", {}, id[0].toUpperCase() + id.slice(1)), h("p.sub", {}, failed.message));
  }
}

async function verdict() {
  const { alerts, heartbeat, delivered } = await ask("/api/alerts");
  const here = alerts.filter((one) => !state.environment || one.labels.environment === state.environment);
  const firing = here.filter((one) => one.state === "firing" && one.severity !== "info");
  const urgent = firing.some((one) => one.severity === "critical" || one.severity === "high");
  const tone = urgent ? "tone-bad" : firing.length ? "tone-warn" : heartbeat ? "tone-good" : "tone-warn";
  const words = firing.length ? `${firing.length} alert${firing.length > 1 ? "s" : ""} firing` : heartbeat ? "All is well" : "Alerting is silent";
  $("verdict").dataset.firing = firing.length;
  document.title = `${firing.length ? `(${firing.length}) ` : ""}SuperAgent console`;
  const why = !heartbeat ? "The Watchdog does not fire: rules are not evaluated." : !delivered ? "Alertmanager does not answer: nobody is told." : here.length ? "" : "No alert fires, none is pending.";
  return [
    h("h2", {}, "Now", h("span.count", {}, counts(firing, here))),
    h(`p.headline.${tone}`, {}, h("span.beacon"), words),
    why && h("p.sub", {}, why),
    here.length > 0 && h("ul.alerts", {}, here.map((one) => h("li", {}, h(`button.${toneOf(one)}.is-${one.state}`, { type: "button", onclick: () => openAlert(one) },
      h("b", {}, one.name.replace("SuperAgent", "").replace(/([a-z])([A-Z])/g, "$1 $2")), h("span.when", {}, one.state === "firing" ? ago(one.since) : one.state),
      h("span.when", { style: { "grid-column": "1 / -1", "white-space": "normal" } }, one.summary.replace(/^\w+: /, "")))))),
  ].filter(Boolean);
}

/** What decides whether somebody gets up: how many are critical, and how many more will come. */
function counts(firing, here) {
  const critical = firing.filter((one) => one.severity === "critical").length;
  return `${critical ? `${critical} critical, ` : ""}${here.filter((one) => one.state === "pending").length} pending`;
}

async function release() {
  const [{ weights, versions, unhealthy, problem }, running, numbers] = await Promise.all([
    ask("/api/traffic"), now('max(superagent_release_in_progress{environment="$environment"})'),
    Promise.all(MEASURES.map(([, expr]) => byColour(expr))),
  ]);
  const total = COLOURS.reduce((sum, colour) => sum + (weights[colour] ?? 0), 0);
  const share = (colour) => total ? (100 * (weights[colour] ?? 0)) / total : 0;
  $("release").classList.toggle("is-running", running === 1);
  $("release").dataset.blue = share("blue").toFixed(0);
  // Kept between updates, so that a changed weight moves instead of jumping.
  const flow = $("release").querySelector(".flow") ?? h("div.flow", { role: "img" }, COLOURS.map((colour) => h(`div.${colour}`, {}, h("span"))));
  flow.setAttribute("aria-label", `Traffic: ${COLOURS.map((colour) => `${colour} ${share(colour).toFixed(0)} %`).join(", ")}`);
  COLOURS.forEach((colour, index) => {
    flow.children[index].style.width = `${share(colour)}%`;
    flow.children[index].firstChild.textContent = share(colour) >= 12 ? `${share(colour).toFixed(0)} %` : "";
  });
  const lanes = COLOURS.map((colour) => h(`tr${versions[colour] ? "" : ".off"}`, {},
    h("th", { scope: "row" }, h(`span.dot${versions[colour] ? `.${colour}` : ""}`), versions[colour] ?? `${colour} is off`),
    MEASURES.map(([, , unit], index) => h("td", {}, versions[colour] ? text(numbers[index][colour] ?? null, unit) : ""))));
  const table = h("table.lanes", {}, h("thead", {}, h("tr", {}, h("th", {}, h("span.sr", {}, "version")), MEASURES.map(([name]) => h("th", { scope: "col" }, name)))), h("tbody", {}, lanes));
  const words = problem || (unhealthy.length ? `Not in rotation: ${unhealthy.join(", ")}` : running === 1 ? "A release is running." : total ? "No release is running." : "No colour has weight.");
  return [h("h2", {}, "Traffic", h("span.count", {}, running === 1 ? "release in progress" : "")), flow, table, h("p.sub", {}, words)];
}

async function parts() {
  const found = (await ask("/api/parts")).parts;
  const bad = found.filter((one) => !one.healthy && one.needed);
  $("parts").dataset.unhealthy = bad.length;
  const tone = (one) => one.healthy ? "tone-good" : one.needed || one.state !== "MISSING" ? "tone-bad" : "tone-none";
  const rank = { "tone-bad": 0, "tone-good": 1, "tone-none": 2 };
  const order = [...found].sort((a, b) => rank[tone(a)] - rank[tone(b)]);
  return [
    h("h2", {}, "Parts", h("span.count", {}, `${found.filter((one) => one.healthy).length} of ${found.length} healthy`)),
    h("ul.chips", {}, order.map((one) => h(`li.${tone(one)}`, { title: [one.version, one.healthy ? `for ${duration(one.seconds)}` : one.problem].filter(Boolean).join(", ") }, one.part.replace("_", " ")))),
  ];
}

async function recovery() {
  const of = (metric, more = "") => now(`max(superagent_${metric}{environment="$environment"${more}})`);
  const [passed, at, rpo, rto, verified] = await Promise.all([
    of("drill_last_result"), of("drill_last_success_timestamp_seconds"), of("drill_rpo_seconds"), of("drill_rto_seconds"),
    of("backup_last_verified_timestamp_seconds", ',kind="postgres"'),
  ]);
  const since = (seconds) => seconds === null ? "–" : ago(seconds * 1000);
  const tone = passed === null ? "tone-none" : passed ? "tone-good" : "tone-bad";
  const words = passed === null ? "No drill yet" : passed ? "Drill passed" : "Drill failed";
  const facts = [["Last passed drill", since(at)], ["Verified backup", since(verified)], ["RPO", rpo === null ? "–" : duration(rpo)], ["RTO", rto === null ? "–" : text(rto, rto < 60 ? "s" : "dtdurations")]];
  return [
    h("h2", {}, "Recovery"), h(`p.headline.${tone}`, {}, h("span.beacon"), words),
    passed === null ? h("p.sub", {}, "superagent backup create, then superagent drill") : null,
    h("dl.facts", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
  ].filter(Boolean);
}
