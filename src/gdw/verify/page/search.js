// The search over all classes: a text field with a list, for a few classes and for thousands.
"use strict";

const MOST_FOUND = 60;

function makeSearch(names, choose) {
  const byId = (id) => document.getElementById(id);
  const dialog = byId("search-dialog"), field = byId("words"), list = byId("found");
  const lower = names.map((name) => name.toLowerCase());
  let codes = [], marked = 0;

  // Names that begin with the words come first, then those in which a word begins so, then all others.
  function rank(name, text) {
    if (name.startsWith(text)) return 0;
    return name.includes(" " + text) || name.includes("_" + text) ? 1 : 2;
  }

  function find() {
    const text = field.value.trim().toLowerCase(), words = text.split(/\s+/);
    const fit = [];
    for (const [code, name] of lower.entries()) {
      if (words.every((word) => name.includes(word))) fit.push([rank(name, text), code]);
    }
    fit.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    codes = fit.slice(0, MOST_FOUND).map(([, code]) => code);
    list.replaceChildren(...codes.map((code, place) => {
      const line = document.createElement("li"), name = document.createElement("bdi");
      line.id = `found-${place}`;
      line.setAttribute("role", "option");
      name.textContent = names[code];
      line.append(name);
      line.addEventListener("click", () => take(place));
      return line;
    }));
    const more = fit.length - codes.length;
    byId("found-count").textContent = fit.length === 0 ? "No class has this name."
      : `${fit.length} of ${names.length} classes` + (more > 0 ? `, the first ${codes.length} are shown` : "");
    mark(0);
  }

  function mark(place) {
    marked = Math.max(0, Math.min(place, codes.length - 1));
    for (const [k, line] of [...list.children].entries()) line.setAttribute("aria-selected", k === marked);
    const line = list.children[marked];
    if (line) field.setAttribute("aria-activedescendant", line.id);
    else field.removeAttribute("aria-activedescendant");
    line?.scrollIntoView({ block: "nearest" });
  }

  function take(place) {
    if (codes[place] === undefined) return;
    dialog.close();
    choose(codes[place]);
  }

  field.addEventListener("input", find);
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) {
      event.preventDefault();
      mark(marked + step);
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      if (!event.repeat) take(marked);
    }
  });
  byId("search-close").addEventListener("click", () => dialog.close());

  return () => {
    field.value = "";
    find();
    dialog.showModal();
    field.focus();
  };
}
