// Decisions on the examples of the list: made by buttons or keys, kept by the browser, saved as a file.

const reviewPart = document.getElementById("review");
if (reviewPart) startReview(JSON.parse(reviewPart.dataset.review));

function startReview(review) {
  const byId = (id) => document.getElementById(id);
  const list = document.querySelector(".cards");
  const lines = new Map(), decisions = new Map(), history = [];
  const nameOf = (code) => review.names[code];
  const visible = () => [...list.querySelectorAll("tbody tr")].filter((line) => !line.hidden);
  const rankOf = (line) => Number(line.dataset.rank);

  // An example as [index, place, given label, suggested label, score, whether the audit marked it, the label
  // that was decided on with gdw verify, or null].
  const example = (rank) => review.rows[rank - 1];

  function stored() {
    try {
      return JSON.parse(localStorage.getItem(review.key) ?? "{}");
    } catch {
      return {};
    }
  }

  // Reads first, because the page may be open twice. Labels are kept by name: another audit may number anew.
  function store(rank) {
    const [index, where, given, , , , before] = example(rank), choice = decisions.get(rank), all = stored();
    delete all[index];
    if (choice !== undefined || before !== null) {
      all[index] = { where, given: nameOf(given) };
      if (typeof choice === "number") all[index].label = nameOf(choice);
      else all[index].choice = choice ?? "none";
    }
    try {
      localStorage.setItem(review.key, JSON.stringify(all));
    } catch {
      byId("storage").hidden = false;
      window.onbeforeunload = (event) => event.preventDefault();
    }
  }

  function restore() {
    const all = stored();
    decisions.clear();
    for (const [i, [index, where, given, , , , before]] of review.rows.entries()) {
      const kept = all[index], known = kept && kept.where === where && kept.given === nameOf(given);
      const verified = before === given ? "keep" : before ?? -1;
      const choice = known ? kept.choice ?? review.names.indexOf(kept.label) : verified;
      if (choice !== -1 && choice !== "none") decisions.set(i + 1, choice);
    }
    for (const rank of lines.keys()) show(rank);
    showCount();
  }

  function decide(rank, choice) {
    const before = decisions.get(rank);
    history.push([[rank, before]]);
    set(rank, before === choice ? undefined : choice);
    finish();
  }

  function set(rank, choice) {
    // The given label as another class means to keep it.
    if (choice === example(rank)[2]) choice = "keep";
    if (choice === undefined) decisions.delete(rank);
    else decisions.set(rank, choice);
    store(rank);
    show(rank);
  }

  function undo() {
    const last = history.pop();
    if (!last) return;
    for (const [rank, before] of last) set(rank, before);
    finish();
    if (last.length === 1) focusOn(lines.get(last[0][0]).line);
  }

  function finish() {
    showCount();
    refilter();
  }

  function show(rank) {
    const { line, buttons, result } = lines.get(rank), suggested = example(rank)[3];
    const choice = decisions.get(rank), other = typeof choice === "number" && choice !== suggested;
    buttons.keep.setAttribute("aria-pressed", choice === "keep");
    buttons.change?.setAttribute("aria-pressed", choice === suggested);
    buttons.other?.setAttribute("aria-pressed", other);
    buttons.remove.setAttribute("aria-pressed", choice === "remove");
    line.classList.toggle("decided", choice !== undefined);
    line.dataset.decided = choice === undefined ? "no" : "yes";
    result.textContent = choice === undefined ? "" : choice === "keep" ? "The label stays as it is."
      : choice === "remove" ? "The example will be left out." : `New label: ${nameOf(choice)}`;
  }

  const unseen = () => review.rows.map((row, i) => [i + 1, row])
    .filter(([rank, row]) => row[5] && row[2] !== row[3] && !decisions.has(rank));

  function showCount() {
    const choices = [...decisions.values()], count = (value) => choices.filter((c) => c === value).length;
    const keep = count("keep"), remove = count("remove"), change = choices.length - keep - remove;
    const total = review.rows.length, rest = byId("rest"), more = rest?.checked ? unseen().length : 0;
    byId("decided").textContent = choices.length === 0 ? `No decisions yet, ${total} examples.`
      : `${choices.length} of ${total} decided: ${keep} keep, ${change} change, ${remove} remove.`;
    byId("effect").textContent = `New labels in the copy: ${change + more}`
      + (more ? `, ${more} of them without your decision` : "") + `. Examples left out: ${remove}.`;
    byId("save").disabled = choices.length + more === 0;
    byId("undo").disabled = history.length === 0;
    byId("clear").disabled = choices.length === 0;
    if (rest) byId("rest-count").textContent = unseen().length;
  }

  // The file: one row for each example of the page, in the order of the audit.
  function table() {
    const quoted = (cell) => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
    const unchecked = new Set(byId("rest")?.checked ? unseen().map(([rank]) => rank) : []);
    const head = ["index", "where", "given_label", "suggested_label", "score", "is_label_issue", "decision"];
    const rows = review.rows.map(([index, where, given, suggested, score], i) => {
      const choice = unchecked.has(i + 1) ? suggested : decisions.get(i + 1);
      const change = typeof choice === "number";
      const word = unchecked.has(i + 1) ? "change (not checked)" : change ? "change" : choice ?? "undecided";
      return [index, where, review.cells[given], review.cells[change ? choice : suggested], score,
        change || choice === "remove", word];
    });
    return [head, ...rows].map((row) => row.map((cell) => quoted(String(cell))).join(",") + "\n").join("");
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    link.download = review.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    window.onbeforeunload = null;
    byId("use").open = true;
    byId("use").scrollIntoView({ block: "nearest" });
  }

  function focusOn(line) {
    if (!line || line.hidden) return;
    line.focus({ preventScroll: true });
    line.scrollIntoView({ block: "nearest" });
  }

  // Decides by a key and goes to the next example. The filter may hide this one.
  function decideAndGoOn(rank, choice) {
    const { line } = lines.get(rank), seen = visible(), next = seen[seen.indexOf(line) + 1] ?? line;
    decide(rank, choice);
    focusOn(decisions.has(rank) || line.hidden ? next : line);
  }

  function press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select")) return;
    const seen = visible(), line = event.target.closest("tbody tr");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      focusOn(line ? seen[seen.indexOf(line) + step] : seen[0]);
      return;
    }
    const key = event.key.toLowerCase();
    if (key === "u") undo();
    if (!line) return;
    const rank = rankOf(line), [, , given, suggested] = example(rank);
    if (key === "k") decideAndGoOn(rank, "keep");
    if (key === "c" && suggested !== given) decideAndGoOn(rank, suggested);
    if (key === "r") decideAndGoOn(rank, "remove");
    if (key === "o" && lines.get(rank).buttons.other) {
      event.preventDefault();
      choose(rank);
    }
  }

  // Another class: a search and a list, for a few classes and for thousands.
  const dialog = byId("choose"), search = byId("choose-search"), classes = byId("choose-class");
  let choosing = 0;

  function choose(rank) {
    choosing = rank;
    byId("choose-example").textContent = `Example ${rank}, given label: ${nameOf(example(rank)[2])}`;
    search.value = "";
    listClasses();
    dialog.showModal();
    search.focus();
  }

  function listClasses() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (name) => words.every((word) => name.toLowerCase().includes(word));
    classes.replaceChildren(...review.names.flatMap((name, code) => fits(name) ? [new Option(name, code)] : []));
    classes.selectedIndex = 0;
  }

  function chosen(event) {
    event.preventDefault();
    if (classes.value === "") return;
    dialog.close();
    const code = Number(classes.value);
    if (decisions.get(choosing) === code) focusOn(lines.get(choosing).line);
    else decideAndGoOn(choosing, code);
  }

  for (const line of list.querySelectorAll("tbody tr")) {
    const rank = rankOf(line), [, , given, suggested] = example(rank);
    const group = document.createElement("div"), result = document.createElement("p"), buttons = {};
    group.className = "buttons";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", `Decision for example ${rank}`);
    result.className = "result";
    const add = (name, title, meaning, act) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      button.title = meaning;
      button.addEventListener("click", act);
      group.append(button);
      buttons[name] = button;
    };
    add("keep", "Keep", `Keep the label ${nameOf(given)}`, () => decide(rank, "keep"));
    if (suggested !== given) {
      add("change", "Change", `Change the label to ${nameOf(suggested)}`, () => decide(rank, suggested));
    }
    if (review.names.length > new Set([given, suggested]).size) {
      add("other", "Other…", "Choose another class", () => choose(rank));
    }
    add("remove", "Remove", "Leave the example out", () => decide(rank, "remove"));
    line.querySelector(".decision").append(group, result);
    line.tabIndex = -1;
    lines.set(rank, { line, buttons, result });
  }

  byId("start").addEventListener("click", () => {
    focusOn(visible().find((line) => !decisions.has(rankOf(line))) ?? visible()[0]);
  });
  byId("undo").addEventListener("click", undo);
  byId("save").addEventListener("click", save);
  byId("clear").addEventListener("click", () => {
    history.push([...decisions]);
    for (const rank of [...decisions.keys()]) set(rank, undefined);
    finish();
  });
  byId("rest")?.addEventListener("change", showCount);
  list.addEventListener("keydown", press);
  search.addEventListener("input", listClasses);
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") classes.focus();
  });
  classes.addEventListener("dblclick", chosen);
  classes.addEventListener("keydown", (event) => {
    if (event.key === "Enter") chosen(event);
  });
  dialog.querySelector("form").addEventListener("submit", chosen);
  byId("choose-cancel").addEventListener("click", () => dialog.close());
  window.addEventListener("storage", (event) => {
    if (event.key === review.key) restore();
  });
  reviewPart.hidden = byId("review-help").hidden = false;
  restore();
  refilter();
}
