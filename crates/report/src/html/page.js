"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const make = (tag, text, name) => {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (name) e.className = name;
  return e;
};
const size = (n) => {
  if (n === null || n === undefined) return "–";
  if (n < 1024) return n + " B";
  let unit = -1;
  do { n /= 1024; unit += 1; } while (n >= 999.5 && unit < 5);
  return n.toFixed(n < 9.95 ? 1 : 0) + " " + ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit];
};
const number = (n) => n.toLocaleString("en");
// The colours of Okabe and Ito, which can be told apart by most colour-blind eyes.
const letters = { A: "#009e73", D: "#d55e00", R: "#56b4e9", M: "#f0e442", m: "#8fb4ff", T: "#cc79a7", f: "#c9ced6", d: "#56b4e9", l: "#8fb4ff", p: "#cc79a7", s: "#cc79a7", b: "#f0e442", c: "#f0e442", "?": "#d55e00" };
const words = { A: "added", D: "deleted", R: "renamed", M: "modified", m: "attributes only", T: "another type", f: "file", d: "directory", l: "symlink", p: "fifo", s: "socket", b: "block device", c: "character device", "?": "kind not known" };
const colours = {
  "file-data": "#0072b2", "directory": "#56b4e9", "symlink": "#4b3b8f", "xattr": "#5f9ea0", "extent-map": "#6b8e23",
  "inode-table": "#e69f00", "journal": "#cc79a7", "allocation": "#f0e442", "superblock": "#8b4513", "group-descriptors": "#b8860b",
  "quota": "#c49a6c", "boot": "#c71585", "partition-table": "#2f6f6f", "volume-metadata": "#20b2aa", "parity": "#6a5acd",
  "swap": "#8f4f9f", "gap": "#7f7f7f", "free": "#b9c0c8", "unresolved": "#d55e00",
};
const isMap = data.kind === "map";
const classes = data.classes.map((c) => c[0]);
const colour = (c) => colours[classes[c]] ?? "#7f7f7f";

// Sums, volumes and findings.
const heads = isMap ? ["class", "bytes"] : ["class", "bytes", "differ", "before"];
by("sum-heads").append(...heads.map((text) => make("th", text, text === "class" ? undefined : "n")));
for (const sum of data.classes) {
  const row = make("tr");
  row.append(make("td", sum[0]), ...sum.slice(1, heads.length).map((bytes) => make("td", size(bytes), "n")));
  by("sums").append(row);
}
by("volume-what").textContent = isMap ? "free" : "changed";
for (const [name, fs, at, state, what] of data.volumes) {
  const row = make("tr");
  for (const text of [name, fs, at, state, what]) row.append(make("td", text));
  by("volumes").append(row);
}
for (const [severity, code, text] of data.findings) {
  const row = make("tr");
  for (const word of [severity, code, text]) row.append(make("td", word));
  by("findings").append(row);
}
by("no-findings").hidden = data.findings.length > 0;

// The disk as a square: a curve of Hilbert keeps near what is near.
const side = 64;
const place = (d) => {
  let x = 0, y = 0;
  for (let s = 1, t = d; s < side; s *= 2) {
    const rx = 1 & (t / 2), ry = 1 & (t ^ rx);
    if (ry === 0) {
      if (rx === 1) { x = s - 1 - x; y = s - 1 - y; }
      [x, y] = [y, x];
    }
    x += s * rx; y += s * ry; t = Math.floor(t / 4);
  }
  return [x, y];
};
const parts = (list) => {
  const found = new Map();
  for (const [cell, c, bytes, changed] of list) {
    if (!found.has(cell)) found.set(cell, []);
    found.get(cell).push([c, bytes, changed]);
  }
  return found;
};
const after = parts(data.cells), before = parts(data.before);
const filled = [...new Set([...after.keys(), ...before.keys()])].sort((a, b) => a - b);
const canvas = by("disk"), strip = by("strip");
canvas.width = canvas.height = side * 8;
strip.width = 1600; strip.height = 64;
const at = new Map();
for (let d = 0; d < side * side; d += 1) at.set(place(d).join(), d);
const modes = { after: "after", before: "before", differ: "where bytes differ" };
let mode = "after", spot = -1;
const frame = () => getComputedStyle(document.body).color;
const paint = () => {
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const [cell, list] of mode === "before" ? before : after) {
    const [x, y] = place(cell);
    const best = list.reduce((a, b) => (b[1] > a[1] ? b : a));
    const bytes = list.reduce((n, p) => n + p[1], 0);
    const changed = list.reduce((n, p) => n + p[2], 0);
    if (mode === "differ" && changed === 0) continue;
    pen.fillStyle = mode === "differ" ? "#d55e00" : colour(best[0]);
    const share = mode === "differ" ? changed / Math.max(bytes, 1) : bytes / data.cell;
    pen.globalAlpha = Math.min(1, 0.35 + 0.65 * share);
    pen.fillRect(x * 8, y * 8, 8, 8);
  }
  pen.globalAlpha = 1;
  if (spot >= 0) {
    const [x, y] = place(spot);
    pen.strokeStyle = frame(); pen.lineWidth = 2;
    pen.strokeRect(x * 8 - 1, y * 8 - 1, 10, 10);
  }
};
// The changed cells side by side, each with its classes by their share.
const paintStrip = () => {
  const pen = strip.getContext("2d"), width = strip.width / Math.max(filled.length, 1);
  pen.clearRect(0, 0, strip.width, strip.height);
  for (const [top, list] of [[0, before], [33, after]]) {
    filled.forEach((cell, n) => {
      const here = list.get(cell) || [];
      const bytes = here.reduce((sum, p) => sum + p[1], 0);
      let y = top;
      for (const [c, part] of here) {
        const high = 31 * part / bytes;
        pen.fillStyle = colour(c);
        pen.fillRect(n * width, y, Math.max(width - (width > 6 ? 1 : 0), 1), high);
        y += high;
      }
    });
  }
  const n = filled.indexOf(spot);
  if (n >= 0) {
    pen.strokeStyle = frame(); pen.lineWidth = 2;
    pen.strokeRect(n * width, 1, Math.max(width, 2), strip.height - 2);
  }
};
const named = (list) => list.map(([c, b, n]) => classes[c] + " " + size(b) + (n ? " (" + size(n) + " differ)" : "")).join(", ");
const tell = (cell) => {
  if (cell === undefined || cell === spot) return;
  spot = cell;
  const now = after.get(cell) || [], then = before.get(cell) || [];
  const was = then.length ? "; before: " + named(then) : "";
  const start = cell * data.cell, end = Math.min(start + data.cell, data.disk);
  by("spot").textContent = "bytes " + number(start) + " to " + number(end) + ": " + (named(now) || "nothing changed") + was;
  paint(); paintStrip();
};
canvas.addEventListener("mousemove", (e) => {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor((e.clientX - box.left) / box.width * side), y = Math.floor((e.clientY - box.top) / box.height * side);
  tell(at.get([x, y].join()));
});
strip.addEventListener("mousemove", (e) => {
  const box = strip.getBoundingClientRect();
  tell(filled[Math.floor((e.clientX - box.left) / box.width * filled.length)]);
});
for (const picture of [canvas, strip]) {
  picture.addEventListener("keydown", (e) => {
    if (e.key === "ArrowRight") tell(filled.find((c) => c > spot));
    else if (e.key === "ArrowLeft") tell(filled.findLast((c) => c < spot));
    else return;
    e.preventDefault();
  });
}
by("strips").hidden = isMap || filled.length === 0;
by("modes").hidden = isMap;
for (const [key, text] of Object.entries(modes)) {
  const button = make("button", text);
  button.type = "button";
  button.dataset.mode = key;
  button.setAttribute("aria-pressed", key === mode);
  button.addEventListener("click", () => {
    mode = key;
    for (const other of by("modes").children) other.setAttribute("aria-pressed", other === button);
    paint();
  });
  by("modes").append(button);
}
data.classes.forEach(([name], c) => {
  const entry = make("li"), box = make("i");
  box.style.background = colour(c);
  entry.append(box, make("span", name));
  by("legend").append(entry);
});
paint();
paintStrip();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { paint(); paintStrip(); });

// Rows: [letter, bytes, volume, path, from, details, notable].
const rows = data.rows;
const folded = rows.map((r) => (r[3] + "\n" + (r[4] || "") + "\n" + (r[6] === null ? "" : data.reasons[r[6]])).toLowerCase());
let shown = rows.map((_, i) => i);
let order = { key: "first", up: false };
let below = "";
const kinds = new Set(rows.map((r) => r[0]));
if (isMap) by("search").placeholder = "search paths";
by("only-notable").hidden = data.reasons.length === 0;
for (const letter of "AMRDTmfdlpsbc?") {
  if (!kinds.has(letter)) continue;
  const label = make("label"), box = make("input");
  box.type = "checkbox"; box.checked = true; box.value = letter;
  box.addEventListener("change", select);
  label.append(box, " " + letter + " " + words[letter]);
  by("kinds").append(label);
}
function select() {
  const text = by("search").value.toLowerCase();
  const wanted = new Set([...by("kinds").querySelectorAll("input:checked")].map((b) => b.value));
  const notable = by("notable").checked;
  shown = [];
  for (let i = 0; i < rows.length; i += 1) {
    const r = rows[i];
    if (!wanted.has(r[0]) || (notable && r[6] === null)) continue;
    if (below && !(r[3] === below || r[3].startsWith(below + "/"))) continue;
    if (text && !folded[i].includes(text)) continue;
    shown.push(i);
  }
  const keys = {
    first: (a, b) => (rows[a][6] === null) - (rows[b][6] === null) || (rows[b][1] || 0) - (rows[a][1] || 0) || a - b,
    letter: (a, b) => (rows[a][0] < rows[b][0] ? -1 : rows[a][0] > rows[b][0] ? 1 : a - b),
    size: (a, b) => (rows[a][1] || 0) - (rows[b][1] || 0) || a - b,
    volume: (a, b) => rows[a][2] - rows[b][2] || a - b,
    path: (a, b) => (rows[a][3] < rows[b][3] ? -1 : rows[a][3] > rows[b][3] ? 1 : a - b),
  };
  shown.sort(keys[order.key]);
  if (!order.up && order.key !== "first") shown.reverse();
  by("count").textContent = number(shown.length) + " of " + number(rows.length) + (below ? " (below " + below + ")" : "");
  by("rows").setAttribute("aria-rowcount", shown.length);
  by("rows").scrollTop = 0;
  draw();
}
const high = 26;
function draw() {
  const view = by("rows"), space = by("space");
  space.style.height = shown.length * high + "px";
  const first = Math.max(0, Math.floor(view.scrollTop / high) - 10);
  const last = Math.min(shown.length, first + Math.ceil(view.clientHeight / high) + 20);
  const lines = [];
  for (let n = first; n < last; n += 1) {
    const [letter, bytes, volume, path, from, details, notable] = rows[shown[n]];
    const row = make("div", undefined, notable === null ? "row" : "row notable");
    row.style.top = n * high + "px";
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", n + 1);
    const mark = make("span"), box = make("span", letter, "letter");
    box.style.background = letters[letter];
    box.title = words[letter];
    mark.append(box);
    const text = from ? from + " → " + path : path;
    const name = make("span", text, "path");
    name.title = text;
    const more = [details, notable === null ? "" : data.reasons[notable]].filter(Boolean).join("; ");
    const last_ = make("span", more, "wide");
    last_.title = more;
    row.append(mark, make("span", size(bytes), "size"), make("span", data.volumes[volume]?.[0] ?? "", "wide"), name, last_);
    for (const cell of row.children) cell.setAttribute("role", "gridcell");
    lines.push(row);
  }
  space.replaceChildren(...lines);
}
by("rows").addEventListener("scroll", draw, { passive: true });
window.addEventListener("resize", draw);
let wait;
by("search").addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(select, 120); });
by("notable").addEventListener("change", select);
for (const button of document.querySelectorAll(".head button")) {
  button.addEventListener("click", () => {
    const key = button.dataset.key;
    order = { key, up: order.key === key ? !order.up : key === "path" || key === "letter" };
    for (const other of document.querySelectorAll(".head button")) other.parentElement.setAttribute("aria-sort", other === button ? (order.up ? "ascending" : "descending") : "none");
    select();
  });
}

// Directories by size.
const tree = { name: "", bytes: 0, count: 0, own: false, below: new Map() };
for (const r of rows) {
  let node = tree;
  const bytes = Math.max(r[1] || 0, 1);
  node.bytes += bytes; node.count += 1;
  const names = r[3].split("/").filter(Boolean);
  for (const name of names) {
    let next = node.below.get(name);
    if (!next) { next = { name, bytes: 0, count: 0, own: false, below: new Map() }; node.below.set(name, next); }
    next.bytes += bytes; next.count += 1;
    node = next;
  }
  node.own = true;
}
let path = [tree];
function boxes(nodes, x, y, w, h, out) {
  // Cut the longer side where the halves are nearest to equal, again and again.
  if (nodes.length === 0 || w < 3 || h < 3) return;
  if (nodes.length === 1) { out.push([nodes[0], x, y, w, h]); return; }
  const all = nodes.reduce((n, c) => n + c.bytes, 0);
  let sum = 0, cut = 0;
  while (cut < nodes.length - 1 && (cut === 0 || sum + nodes[cut].bytes / 2 < all / 2)) { sum += nodes[cut].bytes; cut += 1; }
  const share = sum / all;
  if (w > h) { boxes(nodes.slice(0, cut), x, y, w * share, h, out); boxes(nodes.slice(cut), x + w * share, y, w * (1 - share), h, out); }
  else { boxes(nodes.slice(0, cut), x, y, w, h * share, out); boxes(nodes.slice(cut), x, y + h * share, w, h * (1 - share), out); }
}
const largest = (node, most) => [...node.below.values()].sort((a, b) => b.bytes - a.bytes).slice(0, most);
// A directory with room shows what is in it, below its name.
function inner(trail, x, y, w, h, out) {
  const nodes = largest(trail[trail.length - 1], 150), found = [];
  boxes(nodes, x, y, w, h, found);
  for (const [node, bx, by_, bw, bh] of found) {
    const to = [...trail, node];
    // What leads to one directory and to nothing else is one box.
    while (to[to.length - 1].below.size === 1 && !to[to.length - 1].own) to.push([...to[to.length - 1].below.values()][0]);
    const last = to[to.length - 1], open = last.below.size > 0 && bw > 90 && bh > 60 && out.length < 1500;
    out.push({ to, name: to.slice(trail.length).map((n) => n.name).join("/") + (last.below.size ? "/" : ""), x: bx, y: by_, w: bw, h: bh, open, depth: trail.length });
    if (open) inner(to, bx + 4, by_ + 20, bw - 8, bh - 24, out);
  }
}
function lay() {
  const view = by("map"), out = [];
  inner(path, 0, 0, view.clientWidth, view.clientHeight, out);
  view.replaceChildren(...out.map(({ to, name, x, y, w, h, open, depth }, i) => {
    const n = to[to.length - 1];
    const button = make("button", w > 34 && h > 15 ? name + " " + size(n.bytes) : "", open ? "open" : undefined);
    // The hue is that of the topmost directory, the shade that of the depth.
    const hue = [...to[1].name].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7);
    Object.assign(button.style, { left: x + "px", top: y + "px", width: w + "px", height: h + "px", background: "hsl(" + hue + " 45% " + Math.max(60, 84 - 5 * depth) + "%)" });
    button.title = "/" + to.slice(1).map((n) => n.name).join("/") + ", " + size(n.bytes) + ", " + number(n.count) + (isMap ? " files" : " changes");
    button.setAttribute("aria-label", button.title);
    // One stop for the tabulator; from there the arrow keys lead on.
    button.tabIndex = i === 0 ? 0 : -1;
    button.addEventListener("click", () => { enter(to); });
    return button;
  }));
  by("way").replaceChildren(...path.map((n, i) => {
    const step = make("button", i === 0 ? "all" : n.name);
    step.addEventListener("click", () => enter(path.slice(0, i + 1)));
    return step;
  }));
}
by("map").addEventListener("keydown", (e) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
  const all = [...by("map").children], here = all.indexOf(document.activeElement), next = all[here + step];
  if (!step || here < 0 || !next) return;
  all[here].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  e.preventDefault();
});
function enter(to) {
  path = to;
  below = path.slice(1).map((n) => "/" + n.name).join("");
  if (path[path.length - 1].below.size === 0) path = path.slice(0, -1);
  lay();
  select();
}
window.addEventListener("resize", lay);
// What is searched and sorted for can stand in the address: #search=etc&sort=path&up=1&notable=1
function ask() {
  const asked = new URLSearchParams(location.hash.slice(1));
  by("search").value = asked.get("search") || "";
  by("notable").checked = asked.has("notable");
  if (asked.has("sort")) {
    order = { key: "first", up: asked.has("up") };
    if (["letter", "size", "volume", "path"].includes(asked.get("sort"))) order.key = asked.get("sort");
  }
  select();
}
window.addEventListener("hashchange", ask);
lay();
ask();
document.body.dataset.ready = "yes";
