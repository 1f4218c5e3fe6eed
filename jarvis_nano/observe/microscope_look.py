"""How the loss microscope's page looks and moves: its style sheet and its script. What it says is microscope_page.py.

The script reads the JSON of the element #data and builds everything with textContent, so no text of a passage is ever
taken for HTML.
"""

STYLE = """
:root { color-scheme: light; --ink: #23211f; --soft: #6f6a64; --line: #e4dfd8; --paper: #faf8f5; --accent: #2f5d8a; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 28px 24px 48px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 1.05rem; margin: 0 0 10px; }
header p { margin: 0 0 18px; max-width: 50em; color: var(--soft); }
button, select { font: inherit; color: inherit; border: 1px solid var(--line); background: #fff; border-radius: 8px;
  padding: 6px 12px; cursor: pointer; }
button:hover:enabled { border-color: var(--accent); }
button:disabled { color: #bbb; cursor: default; }
#controls { position: sticky; top: 0; z-index: 1; background: var(--paper); padding: 10px 0 12px;
  border-bottom: 1px solid var(--line); }
#time { display: flex; gap: 6px; align-items: end; }
#time button { width: 38px; padding: 4px 0; height: 34px; }
#track { flex: 1; margin-left: 10px; position: relative; }
#curve { display: block; width: calc(100% - 16px); margin: 0 8px; height: 60px; cursor: pointer; }
#curve polyline { fill: none; stroke: var(--accent); stroke-width: 2; vector-effect: non-scaling-stroke; }
#curve line { stroke: #c9772b; stroke-width: 2; vector-effect: non-scaling-stroke; }
#curve-top { position: absolute; right: 10px; top: -4px; font-size: 0.75rem; color: var(--soft); }
#when { display: block; width: 100%; margin: 2px 0 0; accent-color: var(--accent); }
#status { margin: 8px 0 10px; font-size: 1.05rem; font-weight: 600; font-variant-numeric: tabular-nums; }
#views { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
#views button[aria-pressed=true] { background: var(--accent); border-color: var(--accent); color: #fff; }
#legend { margin-top: 12px; max-width: 640px; font-size: 0.8rem; color: var(--soft); }
#legend .bar { height: 12px; border-radius: 6px; border: 1px solid var(--line); }
#legend .ticks { position: relative; height: 2.6em; margin: 3px 0 0; line-height: 1.25; }
#legend .ticks span { position: absolute; transform: translateX(-50%); text-align: center; white-space: pre; }
#legend .ticks span:first-child { transform: none; text-align: left; }
#legend .ticks span:last-child { transform: translateX(-100%); text-align: right; }
.passage { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 14px 20px 18px;
  margin-top: 16px; }
.passage h2 { display: flex; justify-content: space-between; }
.passage h2 span { font-weight: 400; color: var(--soft); font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.passage p { margin: 0; font: 1.12rem/2 Charter, "Bitstream Charter", Georgia, "Noto Serif", "DejaVu Serif", serif;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.t { padding: 3px 1px; margin: 0 -1px; border-radius: 3px;
  box-decoration-break: clone; -webkit-box-decoration-break: clone;
  box-shadow: inset 0 -1px 0 rgba(0, 0, 0, 0.08), inset -1px 0 0 rgba(255, 255, 255, 0.7); cursor: default; }
.t:hover { outline: 2px solid var(--accent); }
.t.rose { text-decoration: underline dotted #a33 2px; text-underline-offset: 4px; }
.t.none { background: repeating-linear-gradient(45deg, #ddd 0 4px, #bbb 4px 8px); }
.mark { color: #a09a92; }
#list { margin-top: 26px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: #fff; font-size: 0.92rem; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: 7px 12px; border-bottom: 1px solid var(--line); vertical-align: baseline; }
td.n { white-space: nowrap; font-variant-numeric: tabular-nums; }
td .t { font-weight: 600; }
td.context { color: var(--soft); }
td.context .t { color: var(--ink); }
footer { margin-top: 26px; color: var(--soft); font-size: 0.88rem; max-width: 58em; }
#tip { position: absolute; z-index: 2; width: 270px; background: #23211f; color: #f4f1ec; border-radius: 10px;
  padding: 10px 14px 12px; font-size: 0.86rem; line-height: 1.45; pointer-events: none;
  box-shadow: 0 6px 24px rgba(0, 0, 0, 0.25); }
#tip b { font-size: 1.05rem; }
#tip svg { display: block; width: 100%; height: 44px; margin-top: 8px; }
#tip polyline { fill: none; stroke: #ffcf70; stroke-width: 2; vector-effect: non-scaling-stroke; }
#tip line { stroke: #fff; stroke-width: 1; vector-effect: non-scaling-stroke; opacity: 0.6; }
[hidden] { display: none !important; }
@media (max-width: 640px) {
  body { padding: 18px 14px 32px; }
  #controls { position: static; }
  #curve-top, #legend .ticks span:nth-child(even) { display: none; }
  th, td { padding: 6px; }
}
"""

SCRIPT = """
(() => {
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const {texts, readings, words, say, lang} = data;
const at = id => document.getElementById(id);
const WORST = Math.log(10000), MOST_CHANGE = Math.log(10);
// White where the model was sure, through yellow at one chance in ten, to red at one in ten thousand.
const SURPRISE = [[0, [255, 255, 255]], [0.25, [255, 244, 184]], [0.5, [255, 214, 107]], [0.75, [250, 158, 84]],
  [1, [235, 87, 76]]];
const LEARNT = [[0, [255, 255, 255]], [1, [96, 190, 134]]], LOST = [[0, [255, 255, 255]], [1, [235, 87, 76]]];
let now = readings.length - 1, view = "surprise", against = "previous", timer = null;

const fill = (text, values) => text.replace(/\\{(\\w+)\\}/g, (_, name) => values[name]);
const number = (value, digits) => value === null ? "–" : value.toLocaleString(lang,
  {minimumFractionDigits: digits, maximumFractionDigits: digits});
const signed = value => value === null ? "–" : (value > 0 ? "+" : value < 0 ? "−" : "") + number(Math.abs(value), 2);
const oneIn = loss => {
  const n = Math.exp(loss);
  if (n > 1e6) return say.one_in_many;
  return fill(say.one_in, {n: number(n < 10 ? n : Number(n.toPrecision(2)), n < 10 ? 1 : 0)});
};
const visible = text => text.replace(/ /g, "␣").replace(/\\r?\\n/g, "↵").replace(/\\t/g, "⇥");
const quoted = text => lang === "fr" ? "«\\u00a0" + visible(text) + "\\u00a0»" : "“" + visible(text) + "”";
const mix = (stops, x) => {
  const high = Math.max(1, stops.findIndex(([place]) => place >= x));
  const [a, from] = stops[high - 1], [b, to] = stops[high], share = (x - a) / (b - a);
  return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * share)).join(",")})`;
};
const ofLoss = loss => mix(SURPRISE, Math.min(1, loss / WORST));
const ofChange = change => mix(change < 0 ? LEARNT : LOST, Math.min(1, Math.abs(change) / MOST_CHANGE));

const make = (kind, options = {}, ...children) => {
  const element = Object.assign(document.createElement(kind), options);
  element.append(...children);
  return element;
};
const draw = (kind, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const mean = rows => {
  const all = rows.flat();
  return all.includes(null) ? null : all.reduce((sum, loss) => sum + loss, 0) / all.length;
};
const means = readings.map(reading => mean(reading.losses));
const before = () => against === "first" ? (now > 0 ? 0 : -1) : now - 1;
const changeOf = (p, i) => {
  const old = readings[before()].losses[p][i], loss = readings[now].losses[p][i];
  return old === null || loss === null ? null : loss - old;
};

// A curve over the readings, each as far from the next as on the slider; the upright line marks the one shown.
const across = i => readings.length < 2 ? 500 : 1000 * i / (readings.length - 1);
const curve = (svg, values, low, high, height) => {
  const y = value => height - 4 - (height - 8) * (value - low) / (high - low || 1);
  const points = values.map((value, i) => value === null ? "" : `${across(i)},${y(value)}`).join(" ");
  svg.replaceChildren(draw("line", {x1: across(now), x2: across(now), y1: 0, y2: height}),
    draw("polyline", {points}));
};

const isCompared = () => view === "learnt" && before() >= 0;
const paint = (element, p, i) => {
  const loss = readings[now].losses[p][i], change = isCompared() ? changeOf(p, i) : 0;
  element.classList.toggle("none", loss === null || change === null);
  element.classList.toggle("rose", isCompared() && change > 0.5);
  element.style.backgroundColor = loss === null || change === null ? ""
    : view === "surprise" ? ofLoss(loss) : ofChange(change);
};
// A token's element, after its leading space: coloured, that would hang over the ends of lines.
const token = (p, i, text) => {
  const element = make("span", {className: "t"}), [, space, body] = text.match(/^( ?)([^]*)$/);
  for (const part of (body || space).split(/(\\r?\\n)/)) {
    if (/\\n/.test(part)) element.append(make("span", {className: "mark", textContent: "↵"}));
    element.append(part);
  }
  paint(element, p, i);
  element.dataset.p = p;
  element.dataset.i = i;
  return body ? [space, element] : [element];
};

const legend = () => {
  const isChange = view === "learnt", stops = [];
  for (let k = 0; k <= 20; k++)
    stops.push(isChange ? ofChange((k / 10 - 1) * MOST_CHANGE) : ofLoss(k / 20 * WORST));
  const bar = make("div", {className: "bar"}), ticks = make("div", {className: "ticks"});
  bar.style.background = `linear-gradient(to right, ${stops.join(",")})`;
  const marks = isChange
    ? [[0, fill(say.times_more, {n: 10})], [0.5 - 0.5 * Math.log(3) / MOST_CHANGE, "3 ×"], [0.5, say.same],
      [0.5 + 0.5 * Math.log(3) / MOST_CHANGE, "3 ×"],
      [1, fill(say.times_less, {n: 10})]].map(([x, text]) => [x, text, signed((2 * x - 1) * MOST_CHANGE) + " nats"])
    : [1, 10, 100, 1000, 10000].map(n => [Math.log(n) / WORST, n === 1 ? say.expected : "1/" + number(n, 0),
      fill(say.nats, {loss: number(Math.log(n), 1)})]);
  for (const [x, upper, lower] of marks) {
    const mark = make("span", {textContent: upper + "\\n" + lower});
    mark.style.left = 100 * x + "%";
    ticks.append(mark);
  }
  at("legend").replaceChildren(bar, ticks);
};

const list = () => {
  const found = [];
  texts.forEach((passage, p) => passage.forEach((_, i) => {
    const value = view === "surprise" ? -(readings[now].losses[p][i] ?? 0) : changeOf(p, i);
    if (value !== null && value < 0) found.push([value, p, i]);
  }));
  found.sort((a, b) => a[0] - b[0]);
  const box = at("list"), isChange = view === "learnt";
  box.replaceChildren(make("h2", {textContent: isChange ? say.best : say.worst}));
  if (!found.length && isChange) return box.append(make("p", {textContent: say.no_progress}));
  const table = make("table", {}, make("tr", {}, ...[say.context, say.loss, say.choice].map(
    text => make("th", {textContent: text}))));
  for (const [, p, i] of found.slice(0, 10)) {
    const words_of = (from, to) => texts[p].slice(Math.max(0, from), to).join("").replace(/\\s+/g, " ");
    const {losses, guesses} = readings[now], old = isChange ? readings[before()] : null;
    table.append(make("tr", {},
      make("td", {className: "context"}, (i > 9 ? "… " : "") + words_of(i - 9, i), ...token(p, i, texts[p][i]),
        words_of(i + 1, i + 6) + (i + 6 < texts[p].length ? " …" : "")),
      make("td", {className: "n", textContent: (old ? number(old.losses[p][i], 2) + " → " : "")
        + number(losses[p][i], 2)}),
      make("td", {textContent: (old ? quoted(words[old.guesses[p][i]]) + " → " : "") + quoted(words[guesses[p][i]])})));
  }
  box.append(table);
};

const show = () => {
  const reading = readings[now], step = number(reading.step, 0), loss = number(means[now], 2);
  at("when").value = now;
  at("back").disabled = now === 0;
  at("forward").disabled = now === readings.length - 1;
  for (const name of ["surprise", "learnt"]) at(name).setAttribute("aria-pressed", String(name === view));
  at("against-label").hidden = view === "surprise";
  const known = means.filter(value => value !== null), low = Math.min(...known), high = Math.max(...known);
  curve(at("curve"), means, low, high, 60);
  at("curve-top").textContent = fill(say.curve, {from: number(means[0], 2), to: number(means.at(-1), 2)});
  const old = isCompared() ? means[before()] : null, isNumber = means[now] !== null;
  const status = isCompared() ? fill(say.change, {before: number(readings[before()].step, 0), step, loss,
    from: number(old, 2), change: signed(old === null || !isNumber ? null : means[now] - old)})
    : isNumber ? fill(say.status, {step, loss, one_in: oneIn(means[now])}) : fill(say.step, {step});
  at("status").textContent = status + (isNumber ? "" : " · " + say.no_number);
  const isEmpty = view === "learnt" && before() < 0;
  at("passages").replaceChildren(...texts.map((passage, p) => make("section", {className: "passage"},
    make("h2", {}, fill(say.passage, {n: p + 1}),
      make("span", {textContent: fill(say.mean, {loss: number(mean([reading.losses[p]]), 2)})})),
    make("p", {}, ...passage.flatMap((text, i) => token(p, i, text))))));
  legend();
  if (isEmpty) at("list").replaceChildren(make("p", {textContent: say.only_one}));
  else list();
  at("tip").hidden = true;
};

const describe = element => {
  const p = Number(element.dataset.p), i = Number(element.dataset.i), reading = readings[now];
  const loss = reading.losses[p][i], rank = reading.ranks[p][i], guess = words[reading.guesses[p][i]];
  const lines = [make("b", {textContent: quoted(texts[p][i])})];
  const line = text => lines.push(make("div", {textContent: text}));
  if (loss === null) line(say.no_number);
  else {
    if (isCompared() && changeOf(p, i) !== null)
      line(`${number(readings[before()].losses[p][i], 2)} → ${fill(say.nats, {loss: number(loss, 2)})} `
        + `(${signed(changeOf(p, i))})`);
    else line(fill(say.nats, {loss: number(loss, 2)}));
    line(oneIn(loss));
    line(rank === 1 ? say.guessed : rank === 2 ? say.rank_2 : fill(say.rank, {n: number(rank - 1, 0)}));
  }
  if (isCompared()) line(fill(say.guess_before, {guess: quoted(words[readings[before()].guesses[p][i]])}));
  if (rank !== 1) line(fill(say.guess, {guess: quoted(guess)}));
  if (readings.length > 1) {
    const svg = draw("svg", {viewBox: "0 0 1000 44", preserveAspectRatio: "none"});
    const history = readings.map(each => each.losses[p][i]);
    curve(svg, history, 0, Math.max(WORST, ...history.filter(value => value !== null)), 44);
    lines.push(svg);
  }
  const tip = at("tip"), box = element.getClientRects()[0];
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  const isRoom = box.bottom + tip.offsetHeight + 12 < innerHeight;
  tip.style.left = scrollX + Math.max(8, left) + "px";
  tip.style.top = scrollY + (isRoom ? box.bottom + 6 : box.top - tip.offsetHeight - 6) + "px";
};

const go = i => { now = Math.max(0, Math.min(readings.length - 1, i)); show(); };
const stop = () => { clearInterval(timer); timer = null; at("play").textContent = "▶"; };
at("back").textContent = "‹";
at("forward").textContent = "›";
for (const name of ["back", "forward", "play"]) at(name).title = say[name];
at("surprise").textContent = say.surprise;
at("learnt").textContent = say.learnt;
at("against-label").firstElementChild.textContent = say.against;
for (const name of ["previous", "first"]) at("against").append(make("option", {value: name, textContent: say[name]}));
at("track").append(make("span", {id: "curve-top"}));
at("when").max = readings.length - 1;
at("time").hidden = readings.length < 2;
at("back").onclick = () => { stop(); go(now - 1); };
at("forward").onclick = () => { stop(); go(now + 1); };
at("when").oninput = event => { stop(); go(Number(event.target.value)); };
at("curve").onclick = event => {
  const box = at("curve").getBoundingClientRect(), x = 1000 * (event.clientX - box.left) / box.width;
  const distance = i => Math.abs(across(i) - x);
  stop();
  go(readings.reduce((best, _, i) => distance(i) < distance(best) ? i : best, 0));
};
at("play").onclick = () => {
  if (timer) return stop();
  at("play").textContent = "❚❚";
  if (now === readings.length - 1) go(0);
  timer = setInterval(() => now === readings.length - 1 ? stop() : go(now + 1), 700);
};
for (const name of ["surprise", "learnt"]) at(name).onclick = () => { view = name; show(); };
at("against").onchange = event => { against = event.target.value; show(); };
const hover = event => {
  const element = event.target.closest(".t");
  if (element) describe(element); else at("tip").hidden = true;
};
document.addEventListener("mouseover", hover);
document.addEventListener("click", hover);
stop();
show();
})();
"""
