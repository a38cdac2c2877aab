// Draws the charts and keeps them current; tells whether the page still refreshes. Without it every page reads the same.
(() => {
  "use strict";
  const drawn = new Map(); // plot element -> {plot, text}
  const number = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
  const write = {
    count: (v) => number.format(v),
    ms: (v) => (v < 1 && v > 0 ? `${number.format(v * 1000)} µs` : `${number.format(v)} ms`),
    share: (v) => `${number.format(v * 100)} %`,
    score: (v) => v.toFixed(2),
  };
  const day = "{D} {MMM}";
  const times = [
    [86400 * 365, "{YYYY}", null, null, null, null, null, null, 1],
    [86400 * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [86400, day, "\n{YYYY}", null, null, null, null, null, 1],
    [3600, "{HH}:{mm}", `\n${day}`, null, `\n${day}`, null, null, null, 1],
    [60, "{HH}:{mm}", `\n${day}`, null, `\n${day}`, null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", `\n${day}`, null, `\n${day}`, null, null, null, 1],
  ];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const palette = () => ({
    main: colour("accent"), second: colour("muted"), quiet: colour("muted"), bad: colour("bad"),
    ink: colour("ink"), muted: colour("muted"), rule: colour("rule"), ground: colour("ground"),
    sans: colour("sans"),
  });
  const faint = (hex, alpha) => hex + Math.round(alpha * 255).toString(16).padStart(2, "0");

  // A series with an interval is drawn as three columns: the value, its low end and its high end.
  const columns = (chart) =>
    [chart.x].concat(...chart.series.map((s) => (s.low.length ? [s.y, s.low, s.high] : [s.y])));

  function layout(chart, paint) {
    const series = [{}];
    const bands = [];
    const shown = []; // position of each chart series among the columns
    for (const s of chart.series) {
      const stroke = paint[s.tone];
      shown.push(series.length);
      series.push({
        stroke, width: s.tone === "quiet" ? 1.2 : 1.7, dash: s.dashed ? [5, 4] : undefined,
        fill: s.filled ? faint(stroke, 0.1) : undefined,
        points: { show: chart.x.length < 40 && !s.filled, size: 4, fill: stroke },
      });
      if (!s.low.length) continue;
      const edge = { stroke: "transparent", width: 0, points: { show: false } };
      bands.push({ series: [series.length + 1, series.length], fill: faint(stroke, 0.14) });
      series.push({ ...edge }, { ...edge });
    }
    return { series, bands, shown };
  }

  function drawMarkers(plot, { key, markers }, paint) {
    const named = key === "traffic" || key === "quality"; // once a row is enough
    const { ctx, bbox } = plot;
    const scale = devicePixelRatio;
    const rows = []; // where the last label of each row ends, so that labels do not overlap
    ctx.save();
    ctx.font = `600 ${11 * scale}px ${paint.sans}`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    for (const marker of markers) {
      const x = Math.round(plot.valToPos(marker.x, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = paint.ink;
      ctx.lineWidth = scale;
      ctx.setLineDash([2 * scale, 3 * scale]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (!named) continue;
      const wide = ctx.measureText(marker.label).width;
      const fits = x + 4 * scale + wide < bbox.left + bbox.width;
      const left = fits ? x + 4 * scale : x - 4 * scale - wide;
      let row = rows.findIndex((end) => end < left);
      if (row < 0) row = rows.length;
      if (row > 3) continue;
      rows[row] = left + wide + 6 * scale;
      const top = bbox.top + 2 * scale + row * 14 * scale;
      ctx.fillStyle = faint(paint.ground, 0.8);
      ctx.fillRect(left - 2 * scale, top - scale, wide + 4 * scale, 13 * scale);
      ctx.fillStyle = marker.action === "rollback" ? paint.bad : paint.ink;
      ctx.fillText(marker.label, left, top);
    }
    ctx.restore();
  }

  function ask(from, to) {
    const moment = (seconds) => new Date(Math.round(seconds) * 1000).toISOString().replace(".000", "");
    const url = new URL(location.href);
    url.searchParams.set("from", moment(from));
    url.searchParams.set("to", moment(to));
    url.hash = "";
    location.assign(url);
  }

  function draw(figure, host) {
    const text = figure.dataset.chart;
    const chart = JSON.parse(text);
    const paint = palette();
    const { series, bands, shown } = layout(chart, paint);
    const state = { text, chart };
    const outputs = [...figure.querySelectorAll("output")];
    const axis = { stroke: paint.muted, font: `11px ${paint.sans}`, ticks: { show: false } };
    const options = {
      width: host.clientWidth, height: host.clientHeight, padding: [6, 20, 0, 0],
      series, bands, legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { y: false, sync: { key: "page" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: {
        x: { range: () => [state.chart.start, state.chart.end] },
        y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, values: times, space: 64, size: 36 },
        { ...axis, grid: { stroke: paint.rule, width: 1 }, size: 54, space: 36, values: (_, ticks) => ticks.map(write[chart.unit]) },
      ],
      hooks: {
        draw: [(plot) => drawMarkers(plot, state.chart, paint)],
        setCursor: [(plot) => {
          const at = plot.cursor.idx;
          outputs.forEach((output, k) => {
            const value = at == null ? null : plot.data[shown[k]][at];
            output.textContent = value == null ? "" : write[chart.unit](value);
          });
        }],
        setSelect: [(plot) => {
          if (plot.select.width < 8) return;
          ask(plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x"));
        }],
      },
    };
    host.replaceChildren();
    state.plot = new uPlot(options, columns(chart), host);
    drawn.set(host, state);
  }

  function refresh() {
    for (const [host, state] of drawn) {
      if (host.isConnected) continue;
      state.plot.destroy();
      drawn.delete(host);
    }
    for (const figure of document.querySelectorAll("[data-chart]")) {
      const host = figure.querySelector(".plot");
      const state = drawn.get(host);
      host.hidden = Boolean(figure.querySelector(".nothing"));
      if (host.hidden || state?.text === figure.dataset.chart) continue;
      if (!state) {
        draw(figure, host);
        watcher.observe(host);
        continue;
      }
      state.text = figure.dataset.chart;
      state.chart = JSON.parse(state.text);
      state.plot.setData(columns(state.chart));
    }
  }

  const watcher = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      drawn.get(target)?.plot.setSize({ width: target.clientWidth, height: target.clientHeight });
    }
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [host, state] of drawn) {
      state.plot.destroy();
      draw(host.closest("[data-chart]"), host);
    }
  });

  // Whether the page refreshes: said in a word, and stopped or resumed by the same button.
  const button = document.getElementById("refreshing");
  const bar = document.getElementById("lost");
  const clock = () => new Date().toISOString().slice(11, 19);
  let answered = clock();
  const say = (word, lost = "") => {
    button.textContent = word;
    button.classList.toggle("lost", Boolean(lost));
    bar.hidden = !lost;
    if (bar.textContent !== lost) bar.textContent = lost;
  };
  if (button) {
    const on = () => button.getAttribute("aria-pressed") === "true";
    const lose = (fault) => {
      if (on()) say("No answer", `${fault} What you see is from ${answered} UTC.`);
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", !on());
      say(on() ? "Live" : "Paused");
    });
    document.addEventListener("htmx:before:request", (event) => {
      if (!on() || document.hidden) event.preventDefault();
    });
    document.addEventListener("htmx:error", () => lose("The dashboard does not answer."));
    document.addEventListener("htmx:response:error", ({ detail }) => {
      lose(`The dashboard answers with a fault (${detail.ctx.response.status}).`);
    });
    document.addEventListener("htmx:after:swap", ({ detail }) => {
      if (detail.ctx.response.status >= 400) return; // nothing was swapped in
      answered = clock();
      if (on()) say("Live");
    });
  }
  document.addEventListener("htmx:after:swap", refresh);
  refresh();
})();
