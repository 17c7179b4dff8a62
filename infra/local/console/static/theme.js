// Before the first paint, so that nobody who likes dark is flashed at.
(() => {
  const kept = localStorage.getItem("theme");
  const asked = new URLSearchParams(location.search).get("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = asked ?? kept ?? (dark ? "dark" : "light");
})();
