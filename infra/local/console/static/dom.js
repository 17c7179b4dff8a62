// Elements without a framework. Text is always set as text: labels come from outside.
/** h("div.card", {title}, child, "text") */
export function h(selector, properties = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A colour of the theme, or of a Grafana name. */
export function tone(name) {
  const own = { blue: "--blue", green: "--green", orange: "--amber", red: "--red", "#5794f2": "--blue", "#56a64b": "--green", "#8e8e8e": "--faint" };
  return name in own ? getComputedStyle(document.documentElement).getPropertyValue(own[name]).trim() : name;
}

export const palette = (index) => getComputedStyle(document.documentElement).getPropertyValue(`--s${(index % 8) + 1}`).trim();
export const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
