// One row after the other: shows it, takes the answer, and goes on when the answer is saved.
"use strict";

const byId = (id) => document.getElementById(id);
const RETRY = 5000;
const GONE = "gdw verify does not answer. If it was stopped, start it again with the same command, and use the address that it "
  + "prints: all answers before this one are saved";

const own = windowName();
let start = null, page = null, item = null;
let names = [], openSearch = null;
let busy = false, ready = false, ended = false, pending = null, retryTimer = 0;
let collecting = null, zoomed = false, shownAt = 0, hiddenSince = null, hiddenFor = 0;

// The server tells the windows of one browser apart by this name. It stays when the page is loaded again.
function windowName() {
  try {
    const name = sessionStorage.getItem("gdw-window") ?? String(Math.random()).slice(2);
    sessionStorage.setItem("gdw-window", name);
    return name;
  } catch {
    return String(Math.random()).slice(2);
  }
}

function stored(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch { /* the browser stores nothing: the setting holds until the page is closed */ }
  return null;
}

async function ask(path, content = {}) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...content, window: own }),
    });
  } catch {
    return { problem: GONE, retry: true };
  }
  if (response.status === 503) return { problem: GONE, retry: true };
  const answer = await response.json().catch(() => ({ problem: "gdw verify gave an answer that this page does not understand" }));
  return response.ok ? answer : { ...answer, retry: response.status === 507 };
}

function element(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  if (text !== undefined) made.textContent = text;
  made.append(...children.filter(Boolean));
  return made;
}

const bdi = (text) => element("bdi", { text });

// The name of a class. A long one breaks after these characters rather than within a word.
function className(name) {
  const parts = name.split(/(?<=[_./-])/).flatMap((part) => [part, element("wbr")]);
  return element("bdi", { title: name.length > 80 && name }, ...parts.slice(0, -1));
}

// Trouble: an answer that is not saved stays on the screen, and is sent again.
function trouble(answer, again) {
  const { problem, retry, stop, unsaved } = answer;
  const rest = unsaved ? " This answer is not saved yet; it is sent again by itself." : "";
  byId("trouble-text").textContent = problem.replace(/[.!]?$/, ".") + (retry ? rest : "");
  byId("retry").hidden = !retry;
  byId("trouble").hidden = false;
  clearTimeout(retryTimer);
  pending = retry ? again : null;
  if (retry) retryTimer = setTimeout(tryAgain, RETRY);
  if (stop) ready = false;
  if (answer.page) show(answer.page, { keepTrouble: true });
}

function tryAgain() {
  clearTimeout(retryTimer);
  const again = pending;
  pending = null;
  if (again) again();
}

async function send(path, content, after) {
  if (busy || ended) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  const answer = await ask(path, content);
  busy = false;
  document.body.removeAttribute("aria-busy");
  if (answer.problem) trouble({ ...answer, unsaved: path === "/answer" }, () => send(path, content, after));
  else {
    clearTimeout(retryTimer);
    pending = null;
    byId("trouble").hidden = true;
    after(answer);
  }
}

// What was said, in words, for the eye and for screen readers.
function described(kind, codes) {
  const classes = codes.map((code) => names[code]).join(", ");
  if (kind === "label") return classes;
  if (kind === "several") return classes ? `several classes (${classes})` : "several classes";
  return kind === "skip" ? "skipped" : "cannot tell";
}

function answer(kind, codes = []) {
  if (!item || !ready || busy) return;
  const seconds = Math.max(0, (performance.now() - shownAt - hiddenFor) / 1000);
  for (const button of byId("classes").children) {
    button.setAttribute("aria-pressed", codes.includes(Number(button.dataset.code)));
  }
  const words = described(kind, codes);
  send("/answer", { n: item.n, seen: item.seen, answer: kind, labels: codes, seconds }, (next) => {
    show(next);
    say(kind === "skip" ? "Skipped." : `Saved: ${words}.`);
  });
}

function say(text) {
  byId("said").textContent = text;
}

function undo() {
  send("/undo", {}, (next) => {
    show(next);
    say("Taken back. Answer this row again.");
  });
}

function go(step) {
  if (!item) return;
  const n = item.n + step;
  if (n >= 0 && n < page.total) send("/item", { n }, (next) => { show(next); say(""); });
}

function show(next, { keepTrouble = false } = {}) {
  page = next;
  item = next.item;
  collecting = null;
  if (!keepTrouble) byId("trouble").hidden = true;
  showProgress();
  byId("example").hidden = byId("answers").hidden = !item;
  byId("done").hidden = Boolean(item);
  if (!item) return showDone();
  ready = true;
  setZoom(false);
  byId("heading").textContent = `Row ${item.n + 1} of ${page.total}`;
  byId("place").textContent = item.place;
  byId("previous").disabled = item.n === 0;
  byId("next").disabled = item.n + 1 === page.total;
  showExample();
  showBeside();
  showAnswers();
  if (page.ahead !== null && start.pictures) new Image().src = `/picture/${page.ahead}`;
  shownAt = performance.now();
  hiddenFor = 0;
  hiddenSince = document.hidden ? shownAt : null;
  window.scrollTo(0, 0);
  byId("example").scrollTop = byId("answers").scrollTop = 0;
  byId("heading").focus({ preventScroll: true });
  return undefined;
}

function showProgress() {
  const { counts, left, total, pace } = page, answered = total - left;
  byId("bar").setAttribute("aria-valuemax", total);
  byId("bar").setAttribute("aria-valuenow", answered);
  byId("bar").setAttribute("aria-valuetext", `${answered} of ${total}`);
  byId("filled").style.width = `${(100 * answered) / Math.max(1, total)}%`;
  const minutes = pace === null ? 0 : (pace * left) / 60;
  const time = minutes < 1 ? "less than a minute" : minutes < 100 ? `about ${Math.round(minutes)} min` : `about ${(minutes / 60).toFixed(1)} h`;
  const known = pace !== null && left > 0;
  byId("count").textContent = `${answered.toLocaleString("en")} of ${total.toLocaleString("en")}`;
  byId("rate").textContent = known ? ` · ${(60 / Math.max(pace, .1)).toFixed(pace > 20 ? 1 : 0)} a minute` : "";
  byId("time").textContent = known ? ` · ${time} left` : "";
  byId("undo").disabled = counts.open === total;
}

function cellsOf(pairs) {
  return pairs.flatMap(([name, value]) => [element("dt", {}, bdi(name)), element("dd", {}, bdi(value))]);
}

function showExample() {
  const view = byId("view"), parts = [];
  view.style.removeProperty("--cap");
  if (item.problem) parts.push(element("p", { class: "problem", text: item.problem }));
  if (item.picture && !item.problem) parts.push(picture());
  if (item.text !== undefined) parts.push(element("p", { class: "text", dir: "auto", text: item.text || "(empty)" }));
  if (item.cells) parts.push(element("dl", { class: "cells" }, ...cellsOf(item.cells)));
  view.replaceChildren(...parts);
  const read = item.text !== undefined || item.problem || (item.cells && item.cells.length < 30);
  if (read) byId("heading").setAttribute("aria-describedby", "view");
  else byId("heading").removeAttribute("aria-describedby");
}

function picture() {
  const image = element("img", { alt: "The picture to verify", src: `/picture/${item.n}` });
  const of = item;
  ready = false;
  image.addEventListener("load", () => {
    if (item !== of) return;
    // A few pixels are easier to recognise if they are not blown up to the whole screen.
    const side = Math.max(image.naturalWidth, image.naturalHeight);
    if (side <= 64) byId("view").style.setProperty("--cap", `${Math.max(side * 10, 240)}px`);
    if (!image.dataset.large) shownAt = performance.now();
    ready = true;
  });
  image.addEventListener("error", () => {
    if (item !== of) return;
    ready = true;
    image.replaceWith(element("p", { class: "problem", text: "this picture cannot be shown" }));
  });
  return image;
}

function setZoom(on) {
  zoomed = on;
  const view = byId("view"), image = view.querySelector("img"), width = image?.clientWidth ?? 0;
  view.classList.toggle("zoomed", on);
  byId("zoom").setAttribute("aria-pressed", on);
  // What is scrolled must be in reach of the keyboard, with a name for screen readers.
  for (const [name, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", "The row, enlarged"]]) {
    if (on) view.setAttribute(name, value);
    else view.removeAttribute(name);
  }
  if (on && image) {
    view.style.setProperty("--wide", `${Math.max(width * 2, Math.min(image.naturalWidth, 4096))}px`);
    image.dataset.large = "yes";
    image.src = `/large/${item.n}`;
    view.scrollTo((view.scrollWidth - view.clientWidth) / 2, (view.scrollHeight - view.clientHeight) / 2);
  }
}

function showBeside() {
  const context = byId("context"), neighbours = byId("neighbours");
  context.hidden = item.context.length === 0;
  context.querySelector("dl").replaceChildren(...cellsOf(item.context));
  neighbours.hidden = item.neighbours.length === 0;
  neighbours.querySelector("ul").replaceChildren(...item.neighbours.map((near, k) => element(
    "li", { class: near.picture ? "" : "words" },
    near.picture && element("img", { alt: "", loading: "lazy", src: `/near/${item.n}/${k}` }),
    element("b", {}, bdi(near.label)),
    near.text !== undefined && bdi(near.text),
  )));
  const parts = besideParts();
  byId("more").hidden = parts.length === 0;
  byId("more-text").textContent = parts.length > 1 ? "More" : neighbours.hidden ? "Other columns" : "Similar rows";
  byId("more").setAttribute("aria-expanded", parts.some((part) => part.open));
}

function classButton([key, code]) {
  const [kind, codes] = item.answer ?? [null, []];
  const chosen = (kind === "label" || kind === "several") && codes.includes(code), name = names[code];
  const button = element("button", { type: "button", "aria-keyshortcuts": key, "data-code": code, "aria-pressed": String(chosen) },
    key && element("kbd", { text: key }), className(name));
  const tag = (text, letter) => button.append(element("span", { class: "tag", text }, element("kbd", { text: letter })));
  if (name === item.given) tag("in the data", "k");
  if (name === item.suggested) tag("suggested", "a");
  button.addEventListener("click", () => choose(code));
  return button;
}

function showAnswers() {
  const lines = [...item.keys];
  for (const code of item.answer?.[1] ?? []) {
    if (!lines.some((line) => line[1] === code)) lines.push([null, code]);
  }
  byId("classes").replaceChildren(...lines.map(classButton));
  byId("classes").classList.toggle("compared", item.suggested !== null);
  byId("search").hidden = names.length <= item.keys.length;
  const said = item.answer && described(...item.answer);
  byId("question").textContent = said ? `Your answer: ${said}` : "Which class is it?";
  byId("given").hidden = item.given === null || item.keys.some(([, code]) => names[code] === item.given);
  byId("given").replaceChildren("In the data: ", bdi(item.given ?? ""));
  byId("others").hidden = item.others.length === 0;
  byId("others").replaceChildren(...item.others.map(([who, kind, labels]) => element("li", {}, bdi(who || "somebody"), ": ",
    bdi(kind === "label" ? labels[0] : described(kind, labels.map((name) => names.indexOf(name)))))));
  showCollecting();
}

// Several classes: keys and buttons then mark classes, and Enter saves them.
function choose(code) {
  if (collecting === null) return answer("label", [code]);
  if (!collecting.delete(code)) collecting.add(code);
  if (![...byId("classes").children].some((button) => Number(button.dataset.code) === code)) {
    byId("classes").append(classButton([null, code]));
  }
  return showCollecting();
}

function collect(on) {
  collecting = on ? new Set() : null;
  if (on) showCollecting();
  else showAnswers();
}

function showCollecting() {
  const on = collecting !== null;
  byId("several").setAttribute("aria-pressed", on);
  byId("collect").hidden = !on;
  if (!on) return;
  for (const button of byId("classes").children) {
    button.setAttribute("aria-pressed", collecting.has(Number(button.dataset.code)));
  }
  const chosen = [...collecting].map((code) => names[code]).join(", ");
  byId("question").textContent = "Which classes are in it?";
  byId("collected").textContent = chosen ? `Several classes: ${chosen}.` : "Several classes: choose them, or save without naming them.";
}

function showDone() {
  const { counts, total } = page, number = (count) => count.toLocaleString("en");
  byId("done-title").textContent = total === 1 ? "The row is answered" : `All ${number(total)} rows are answered`;
  const rest = [["several", "of several classes"], ["cannot_tell", "cannot be told"], ["skip", "skipped"]];
  const parts = rest.filter(([kind]) => counts[kind]).map(([kind, words]) => `${number(counts[kind])} ${words}`);
  byId("done-text").textContent = [`${number(counts.label)} with a label`, ...parts].join(", ") + ". Every answer is saved.";
  byId("again").hidden = counts.skip === 0;
  byId("done-title").focus();
}

async function finish() {
  if (busy || ended) return;
  const answer = await ask("/finish");
  if (answer.problem) return trouble(answer, finish);
  ended = true;
  item = null;
  byId("example").hidden = byId("answers").hidden = byId("trouble").hidden = true;
  byId("done").hidden = false;
  byId("done").querySelector(".buttons").hidden = byId("finish").hidden = true;
  byId("done-title").textContent = "Saved";
  byId("done-text").textContent = "You can close this page. How to go on, also in the terminal:";
  byId("lines").textContent = answer.lines.join("\n");
  byId("lines").hidden = answer.lines.length === 0;
  return byId("done-title").focus();
}

const ACTIONS = {
  "/": () => byId("search").hidden || openSearch(),
  "s": () => answer("skip"),
  "c": () => answer("cannot_tell"),
  "m": () => collect(collecting === null),
  "u": undo,
  "z": () => setZoom(!zoomed),
  "x": () => toggleBeside(),
  "k": () => item.given !== null && names.includes(item.given) && choose(names.indexOf(item.given)),
  "a": () => item.suggested !== null && names.includes(item.suggested) && choose(names.indexOf(item.suggested)),
  "?": () => byId("help-dialog").showModal(),
  "ArrowLeft": () => go(-1),
  "ArrowRight": () => go(1),
};

const besideParts = () => [byId("neighbours"), byId("context")].filter((part) => !part.hidden);

function toggleBeside() {
  const parts = besideParts();
  const open = !parts.some((part) => part.open);
  for (const part of parts) part.open = open;
  if (open) parts[0]?.scrollIntoView({ block: "nearest" });
}

// The key that is meant. French keyboards have other signs on the keys of digits, Russian ones other letters.
function meant(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key in ACTIONS || item?.keys.some(([own]) => own === key)) return key;
  const [, digit, letter] = /^(?:Digit|Numpad)(\d)$|^Key([A-Z])$/.exec(event.code) ?? [];
  return digit ?? (letter && key > "\x7f" ? letter.toLowerCase() : key);
}

function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return;
  if (ended || event.target.closest("input") || (zoomed && event.target === byId("view") && event.key.startsWith("Arrow"))) return;
  const key = meant(event);
  if (key.length === 1 && !byId("keys").checked) return;
  if (!item) {
    if (key === "u" && !event.repeat) undo();
    return;
  }
  if (collecting !== null && (key === "Enter" || key === "Escape")) {
    event.preventDefault();
    if (event.repeat) return;
    if (key === "Enter") answer("several", [...collecting]);
    else collect(false);
    return;
  }
  const line = item.keys.find(([own]) => own === key);
  const act = line ? () => choose(line[1]) : ACTIONS[key];
  if (!act) return;
  event.preventDefault();
  // A key that is held down must not answer row after row.
  if (!event.repeat) act();
}

function listen() {
  const click = (id, act) => byId(id).addEventListener("click", act);
  click("search", () => openSearch());
  click("skip", () => answer("skip"));
  click("cannot", () => answer("cannot_tell"));
  click("several", () => collect(collecting === null));
  click("leave", () => collect(false));
  click("keep", () => collecting !== null && answer("several", [...collecting]));
  click("undo", undo);
  click("back", undo);
  click("zoom", () => setZoom(!zoomed));
  click("more", toggleBeside);
  for (const part of [byId("neighbours"), byId("context")]) {
    part.addEventListener("toggle", () => byId("more").setAttribute("aria-expanded", besideParts().some((one) => one.open)));
  }
  click("previous", () => go(-1));
  click("next", () => go(1));
  click("again", () => send("/skipped", {}, show));
  click("help", () => byId("help-dialog").showModal());
  click("help-close", () => byId("help-dialog").close());
  click("finish", finish);
  click("end", finish);
  click("retry", tryAgain);
  byId("keys").checked = stored("gdw-keys") !== "off";
  byId("keys").addEventListener("change", () => stored("gdw-keys", byId("keys").checked ? "on" : "off"));
  document.addEventListener("keydown", press);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenSince = performance.now();
    else if (hiddenSince !== null) {
      hiddenFor += performance.now() - Math.max(hiddenSince, shownAt);
      hiddenSince = null;
    }
  });
  window.addEventListener("beforeunload", (event) => {
    if (pending) event.preventDefault();
  });
}

async function begin() {
  const answer = await ask("/start");
  if (answer.problem) return trouble(answer, begin);
  start = { pictures: Boolean(answer.item?.picture) };
  names = answer.names;
  byId("file").textContent = answer.file;
  document.title = `gdw verify: ${answer.file}`;
  openSearch = makeSearch(names, choose);
  return show(answer);
}

// The token need not stay in the address, where others may read it: the browser keeps it as a cookie.
history.replaceState(null, "", "/");
listen();
begin();
