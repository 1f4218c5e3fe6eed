// Draws what the page's JSON holds: curves as SVG, heat maps on canvases, and the slider over the samples.
// Every text from a run goes in by textContent; the SVG that is built as a string holds numbers only.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const COLOURS = 6, LEFT = 50, RIGHT = 10, TOP = 8, BOTTOM = 22;
  // Anchors of a perceptually even scale from dark blue to yellow (viridis).
  const SCALE = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121],
    [110, 206, 88], [181, 222, 43], [253, 231, 37]];

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const format = (value, unit, digits = 4) => {
    if (value === null || value === undefined) return "NaN";
    if (unit === "share") return (100 * value).toLocaleString(data.lang, {maximumSignificantDigits: 3}) + " %";
    if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7))
      return value.toExponential(1).replace(".", data.lang === "fr" ? "," : ".").replace("e+", "e");
    return value.toLocaleString(data.lang, {maximumSignificantDigits: digits});
  };
  const short = (value, unit) => {
    const size = Math.abs(value);
    if (unit !== "share" && size >= 1e6 && size < 1e9) return format(value / 1e6, unit, 3) + " M";
    if (unit !== "share" && size >= 1e4 && size < 1e6) return format(value / 1e3, unit, 3) + " k";
    return format(value, unit, 3);
  };

  // Round numbers that cover [low, high], about `wanted` of them.
  const ticks = (low, high, wanted) => {
    const raw = (high - low) / wanted || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find(m => m * power >= raw * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step + 0);  // -0 + 0 is 0
    return found;
  };
  const logTicks = (low, high) => {
    const found = [];
    for (let e = Math.floor(low); e <= Math.ceil(high); e++)
      for (const m of high - low > 3 ? [1] : high - low > 1 ? [1, 3] : [1, 2, 3, 5, 7]) {
        const at = Math.log10(m) + e;
        if (at >= low - 1e-9 && at <= high + 1e-9) found.push(at);
      }
    return found.length > 1 ? found : ticks(low, high, 3);
  };
  // Exponential moving average, its start corrected for what is not there yet (as Adam's moments are).
  const smoothed = (values, weight) => {
    let mean = 0, share = 0;
    return values.map(value => {
      if (value === null) return null;
      mean = weight * mean + (1 - weight) * value;
      share = weight * share + (1 - weight);
      return mean / share;
    });
  };
  const tooltip = host => {
    const tip = element("div", "tip");
    tip.hidden = true;
    host.append(tip);
    return (x, y, lines) => {
      tip.hidden = lines === null;
      if (tip.hidden) return;
      tip.replaceChildren(...lines.map(line => element("div", "", line)));
      const room = host.clientWidth - tip.offsetWidth;
      tip.style.left = Math.max(0, Math.min(room, x > host.clientWidth / 2 ? x - tip.offsetWidth - 12 : x + 12)) + "px";
      tip.style.top = Math.max(0, y - tip.offsetHeight - 8) + "px";
    };
  };
  const heading = (card, chart) => {
    const top = element("div", "top");
    top.append(element("h3", "", chart.title));
    if (chart.unit && chart.unit !== "share") top.append(element("span", "unit", chart.unit));
    card.append(top, element("p", "about", chart.about));
    return top;
  };

  const redraws = [];
  let smoothing = 0;

  function drawChart(card, chart) {
    const several = data.runs.length > 1, top = heading(card, chart);
    const plot = element("div", "plot"), show = tooltip(plot);
    const drawing = element("div");
    plot.prepend(drawing);
    card.append(plot);
    const finite = chart.series.flatMap(s => s.values).filter(v => v !== null);
    const positive = finite.length > 0 && finite.every(v => v > 0);
    let log = chart.log && positive && Math.max(...finite) > 10 * Math.min(...finite);
    if (positive && chart.unit !== "share") {
      const button = element("button", "", data.words.log);
      button.setAttribute("aria-pressed", log);
      button.onclick = () => { log = !log; button.setAttribute("aria-pressed", log); draw(); };
      top.append(button);
    }
    const colour = s => (several ? s.run : s.held_out ? 1 : 0) % COLOURS;
    if (chart.series.length > 1 || several) {
      const legend = element("div", "legend");
      for (const s of chart.series) {
        const item = element("span"), dash = element("i", "dash" + (s.held_out ? " held" : ""));
        dash.style.borderColor = `var(--c${colour(s)})`;
        item.append(dash, several ? `${data.runs[s.run]}${s.held_out || chart.series.some(o => o.held_out) ? " · " + s.name : ""}` : s.name);
        legend.append(item);
      }
      card.append(legend);
    }
    let frame = null;
    function draw() {
      const width = plot.clientWidth, height = card.classList.contains("wide") ? Math.min(330, Math.max(220, width * .4)) : 180;
      const lastStep = Math.max(1, ...chart.series.map(s => s.steps[s.steps.length - 1]));
      const map = v => log ? Math.log10(v) : v;
      let low = Infinity, high = -Infinity;
      for (const v of finite) { low = Math.min(low, map(v)); high = Math.max(high, map(v)); }
      if (!finite.length) [low, high] = [0, 1];
      if (chart.unit === "share" && low >= 0 && high <= 1 && !log && high - low > .3) [low, high] = [0, 1];
      const pad = (high - low) * .04 || Math.abs(high) * .1 || 1;
      if (low !== 0) low -= pad;
      high += pad;
      const x = step => LEFT + (width - LEFT - RIGHT) * step / lastStep;
      const y = v => TOP + (height - TOP - BOTTOM) * (1 - (map(v) - low) / (high - low));
      const parts = [];
      for (const t of log ? logTicks(low, high) : ticks(low, high, 4)) {
        const at = TOP + (height - TOP - BOTTOM) * (1 - (t - low) / (high - low));
        parts.push(`<line class="rule" x1="${LEFT}" x2="${width - RIGHT}" y1="${at}" y2="${at}"/>`,
          `<text x="${LEFT - 7}" y="${at + 4}" text-anchor="end">${short(log ? 10 ** t : t, chart.unit)}</text>`);
      }
      for (const t of ticks(0, lastStep, Math.max(2, width / 110)))
        parts.push(`<text x="${x(t)}" y="${height - 5}" text-anchor="middle">${short(t, "")}</text>`);
      if (chart.tag === "train/loss")
        for (const f of data.findings) parts.push(`<rect class="band ${f.severity}" x="${x(Math.min(f.first, lastStep))}" y="${height - BOTTOM}" width="${Math.max(3, x(Math.min(f.last, lastStep)) - x(Math.min(f.first, lastStep)))}" height="3"/>`);
      for (const s of chart.series) {
        const line = values => {
          let d = "", pen = "M";
          values.forEach((v, i) => {
            if (v === null || (log && v <= 0)) { pen = "M"; return; }
            d += `${pen}${x(s.steps[i]).toFixed(1)} ${y(v).toFixed(1)}`;
            pen = "L";
          });
          return d;
        };
        const soft = smoothing > 0 && !s.held_out && s.values.length > 3, c = colour(s);
        parts.push(`<path class="s${c}${soft ? " faint" : ""}${s.held_out ? " held" : ""}" d="${line(s.values)}"/>`);
        if (soft) parts.push(`<path class="s${c}" d="${line(smoothed(s.values, smoothing))}"/>`);
        s.values.forEach((v, i) => {
          if (v === null) parts.push(`<rect class="band alarm" x="${x(s.steps[i]) - 1}" y="${height - BOTTOM - 6}" width="2" height="6"/>`);
          else if (s.values.length < 40 && !(log && v <= 0)) parts.push(`<circle class="f${c}" r="2.4" cx="${x(s.steps[i]).toFixed(1)}" cy="${y(v).toFixed(1)}"/>`);
        });
      }
      drawing.innerHTML = `<svg height="${height}" viewBox="0 0 ${width} ${height}" role="img">${parts.join("")}<line class="cursor" y1="${TOP}" y2="${height - BOTTOM}" visibility="hidden"/></svg>`;
      drawing.firstChild.setAttribute("aria-label", chart.title);
      frame = {width, lastStep, x, cursor: drawing.querySelector(".cursor")};
    }
    const nearest = (steps, wanted) => {
      let a = 0, b = steps.length - 1;
      while (b - a > 1) { const m = (a + b) >> 1; if (steps[m] < wanted) a = m; else b = m; }
      return Math.abs(steps[a] - wanted) <= Math.abs(steps[b] - wanted) ? a : b;
    };
    plot.onpointermove = event => {
      const box = plot.getBoundingClientRect(), px = event.clientX - box.left;
      const wanted = (px - LEFT) / (frame.width - LEFT - RIGHT) * frame.lastStep;
      const found = chart.series.map(s => [s, nearest(s.steps, wanted)]);
      const [first, i] = found.reduce((best, one) => Math.abs(one[0].steps[one[1]] - wanted) < Math.abs(best[0].steps[best[1]] - wanted) ? one : best);
      const step = first.steps[i];
      frame.cursor.setAttribute("x1", frame.x(step)); frame.cursor.setAttribute("x2", frame.x(step));
      frame.cursor.setAttribute("visibility", "visible");
      const lines = found.filter(([s, k]) => s.held_out || several || s.steps[k] === step).map(([s, k]) =>
        `${several ? data.runs[s.run] + " · " : chart.series.length > 1 ? s.name + " : " : ""}${format(s.values[k], chart.unit)}${s.steps[k] === step ? "" : ` (${data.words.step} ${s.steps[k]})`}`);
      const near = chart.tag === "train/loss" ? data.findings.filter(f => f.first <= step && step <= f.last) : [];
      show(frame.x(step), event.clientY - box.top, [`${data.words.step} ${step.toLocaleString(data.lang)}`, ...lines, ...new Set(near.map(f => "▲ " + f.title))]);
    };
    plot.onpointerleave = () => { show(0, 0, null); frame.cursor.setAttribute("visibility", "hidden"); };
    redraws.push(draw);
    draw();
  }

  const colourAt = share => {
    const at = Math.max(0, Math.min(1, share)) * (SCALE.length - 1), i = Math.min(SCALE.length - 2, Math.floor(at));
    return SCALE[i].map((v, k) => Math.round(v + (SCALE[i + 1][k] - v) * (at - i)));
  };

  function drawMap(card, chart) {
    heading(card, chart);
    const finite = chart.maps.flatMap(m => m.values.flat()).filter(v => v !== null);
    const positive = finite.filter(v => v > 0);
    let low = Infinity, high = -Infinity;
    for (const v of finite) { low = Math.min(low, v); high = Math.max(high, v); }
    const least = positive.reduce((a, b) => Math.min(a, b), Infinity);
    const log = chart.log && positive.length > 0 && low >= 0 && high > 10 * least;
    // On a log scale what lies more than six powers of ten below the top counts as the bottom.
    const floor = log ? Math.max(least, high * 1e-6) : low;
    const share = v => high === low ? .5 : log ? Math.log(Math.max(v, floor) / floor) / Math.log(high / floor) : (v - low) / (high - low);
    if (chart.group === "grammar" || chart.group === "french") bars(card, chart, high);
    for (const m of chart.maps) {
      if (data.runs.length > 1) {
        const name = element("p", "name");
        name.append(element("i", `mark c${m.run % COLOURS}`), data.runs[m.run]);
        card.append(name);
      }
      const body = element("div", "body"), rows = element("div", "rows"), plot = element("div", "plot");
      const canvas = document.createElement("canvas"), show = tooltip(plot);
      const n = m.members.length, columns = m.steps.length;
      canvas.width = columns; canvas.height = n;
      const height = Math.max(60, Math.min(420, n * (n > 30 ? 9 : 18)));
      canvas.style.height = rows.style.height = height + "px";
      const context = canvas.getContext("2d"), image = context.createImageData(columns, n);
      m.values.forEach((row, r) => row.forEach((v, c) => {
        const at = 4 * (r * columns + c);
        image.data.set(v === null ? [128, 128, 128, 60] : [...colourAt(share(v)), 255], at);
      }));
      context.putImageData(image, 0, 0);
      const every = Math.ceil(n / (height / 13));
      m.members.forEach((member, i) => rows.append(element("span", "", i % every ? "" : member)));
      plot.prepend(canvas);
      plot.onpointermove = event => {
        const box = canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
        const c = Math.max(0, Math.min(columns - 1, Math.floor(px / box.width * columns)));
        const r = Math.max(0, Math.min(n - 1, Math.floor(py / box.height * n)));
        show(px, py, [`${m.members[r]} · ${data.words.step} ${m.steps[c].toLocaleString(data.lang)}`, format(m.values[r][c], chart.unit)]);
      };
      plot.onpointerleave = () => show(0, 0, null);
      const axis = element("div", "axis");
      axis.append(element("span", "", m.steps[0].toLocaleString(data.lang)), element("span", "", m.steps[columns - 1].toLocaleString(data.lang)));
      body.append(rows, plot, axis);
      card.append(body);
    }
    const scale = element("div", "scale"), bar = element("i");
    bar.style.background = `linear-gradient(90deg, ${SCALE.map(c => `rgb(${c})`)})`;
    if (finite.length) scale.append(format(floor, chart.unit, 3), bar, format(high, chart.unit, 3), log ? "(log)" : "");
    card.append(scale);
  }

  // The newest value of each member, as bars: best first, every run's below each other.
  function bars(card, chart, high) {
    const latest = new Map();
    for (const m of chart.maps)
      m.members.forEach((member, r) => {
        const value = m.values[r].filter(v => v !== null).pop();
        if (value !== undefined) latest.set(member, [...(latest.get(member) || []), [m.run, value]]);
      });
    const list = element("div", "bars"), top = chart.unit === "share" ? 1 : high, down = chart.unit === "share" ? -1 : 1;
    for (const [member, values] of [...latest].sort((a, b) => down * (a[1][0][1] - b[1][0][1])))
      values.forEach(([run, value], i) => {
        const track = element("span", "track"), bar = element("i", `c${run % COLOURS}`);
        bar.style.width = 100 * Math.max(0, value / top) + "%";
        track.append(bar);
        list.append(element("span", "", i ? "" : member), track, element("b", "", format(value, chart.unit, 3)));
      });
    card.append(element("p", "name", data.words.now), list);
  }

  function timeMachine() {
    const slider = document.getElementById("time");
    if (!slider) return;
    const steps = [...new Set(data.samples.flat().map(s => s.step))].sort((a, b) => a - b);
    slider.max = steps.length - 1;
    const show = () => {
      const step = steps[slider.value];
      document.getElementById("time-step").textContent = `${data.words.step} ${step.toLocaleString(data.lang)}`;
      document.getElementById("texts").replaceChildren(...data.samples.map((samples, run) => {
        const box = element("div"), sample = samples.filter(s => s.step <= step).pop();
        if (data.runs.length > 1) {
          const name = element("h3");
          name.append(element("i", `mark c${run % COLOURS}`), data.runs[run], sample && sample.step !== step ? ` (${data.words.step} ${sample.step})` : "");
          box.append(name);
        }
        box.append(element("p", "", sample ? sample.text : "–"));
        return box;
      }));
    };
    slider.value = steps.length - 1;
    slider.oninput = show;
    show();
  }

  document.querySelectorAll("[data-chart]").forEach(card => drawChart(card, data.charts[card.dataset.chart]));
  document.querySelectorAll("[data-map]").forEach(card => drawMap(card, data.maps[card.dataset.map]));
  timeMachine();
  const redraw = () => redraws.forEach(draw => draw());
  document.getElementById("smoothing").oninput = event => { smoothing = Number(event.target.value); redraw(); };
  let waiting = 0;
  window.addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(redraw); });
})();
