// The panel on the right: an alert with its runbook, a runbook alone, or the keys.
import { $, h } from "./dom.js";
import { ago } from "./units.js";

export function open(title, ...content) {
  $("drawer-title").textContent = title;
  $("drawer-body").replaceChildren(...content);
  if (!$("drawer").open) $("drawer").showModal();
  $("drawer").scrollTop = 0;
}

export async function openRunbook(name, ...before) {
  const answer = await fetch(`/runbooks/${name}.md`);
  const text = answer.ok ? await answer.text() : "No runbook of this name is in the checkout.";
  open(name, ...before, ...markdown(text));
}

export function openAlert(alert) {
  const labels = Object.entries(alert.labels).filter(([name]) => name !== "alertname");
  return openRunbook(alert.name,
    h(`div.callout.${toneOf(alert)}`, {}, h("b", {}, alert.summary), h("p", {}, alert.description), h("p.sub", {}, `${alert.state} since ${ago(alert.since)}`.replace("since just now", "just now"))),
    h("div.labels", {}, labels.map(([name, value]) => h("code", {}, `${name}=${value}`))));
}

export const toneOf = (alert) => alert.severity === "critical" || alert.severity === "high" ? "tone-bad" : alert.severity === "warning" ? "tone-warn" : "tone-none";

/** As much of Markdown as runbooks use: headings, paragraphs, lists, code. */
function markdown(text) {
  const blocks = [];
  for (const block of text.split(/\n{2,}/)) {
    if (block.startsWith("# ")) continue;
    if (block.startsWith("## ")) blocks.push(h("h3", {}, block.slice(3)));
    else if (/^(-|\d+\.) /.test(block)) {
      const items = block.split(/\n(?=(?:-|\d+\.) )/).map((item) => h("li", {}, inline(item.replace(/^(-|\d+\.) /, ""))));
      blocks.push(h(block.startsWith("-") ? "ul" : "ol", {}, items));
    } else blocks.push(h("p", {}, inline(block)));
  }
  return blocks;
}

const inline = (text) => text.replace(/\s*\n\s*/g, " ").split(/(`[^`]+`)/).map((part) => part.startsWith("`") ? h("code", {}, part.slice(1, -1)) : part);

const KEYS = [["1 … 9", "a dashboard"], ["A B G", "all colours, blue, green"], ["[ ]", "shorter or longer time"], ["Esc", "end the zoom, close this"], ["P", "pause"], ["T", "light or dark"], ["?", "these keys"]];
export const openKeys = () => open("Keys",
  h("div.keys", {}, KEYS.flatMap(([keys, what]) => [h("span", {}, keys.split(" ").map((key) => key === "…" ? " … " : h("kbd", {}, key))), h("span", {}, what)])),
  h("h3", {}, "Mouse"), h("p", {}, "Drag over a chart to look closer. A line's name in the legend shows or hides it."));

export function wire() {
  $("drawer-close").addEventListener("click", () => $("drawer").close());
  $("drawer").addEventListener("click", (event) => { if (event.target === $("drawer")) $("drawer").close(); });
}
