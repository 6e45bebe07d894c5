// Draws each chart from the table behind it, again whenever the page exchanges the table. Loaded after uPlot.

const HEIGHT = 200;
const root = document.documentElement;
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const LIGHT = ["#1f5a96", "#b35c00", "#0b6e5f", "#8a3d8f", "#6b6f00", "#b3261e", "#4b5b6d", "#007a99"];
const DARK = ["#8cc0f5", "#f2b85a", "#5fcdb6", "#d9a0de", "#cfd36a", "#ff9a90", "#b4c0cd", "#6fd3ee"];
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
const sync = uPlot.sync("trends");
const charts = [];

const dark = () => getComputedStyle(root).colorScheme === "dark";
const line = (index) => (dark() ? DARK : LIGHT)[index % LIGHT.length];

const heads = (figure) => [...figure.querySelectorAll("details thead th")].slice(1).map((cell) => cell.textContent);
const rowsOf = (figure) => [...figure.querySelectorAll("details tbody tr")];

function read(figure) {
  const labels = heads(figure);
  const rows = rowsOf(figure);
  const at = rows.map((row) => Number(row.dataset.at));
  const columns = labels.map((_, index) => rows.map((row) => {
    const text = row.cells[index + 1].dataset.v;
    return text === undefined ? null : Number(text);
  }));
  return { labels, data: [at, ...columns] };
}

const marks = () => [...document.querySelectorAll("#trend-marks li")].map((item) => Number(item.dataset.at));

// A dashed line for each mark, at most one per pixel.
function drawMarks(plot) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = colour("--soft");
  ctx.setLineDash([3, 3]);
  const seen = new Set();
  for (const at of marks()) {
    const x = Math.round(plot.valToPos(at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width || seen.has(x)) continue;
    seen.add(x);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

// Hours of the day as in the table, and the day where it changes.
const TIMES = [
  [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", null, null, "\n{D} {MMM}", null, null, null, 1],
  [60, "{HH}:{mm}", null, null, "\n{D} {MMM}", null, null, null, 1],
];

const short = (value) => value === null ? "" : Math.abs(value) >= 1e6 ? `${value / 1e6}M` : Math.abs(value) >= 1e3 ? `${value / 1e3}k` : `${Number(value.toPrecision(6))}`;

function options(figure, labels, width) {
  const bars = "bars" in figure.dataset;
  const grid = { stroke: () => colour("--edge"), width: 1 };
  const axis = { stroke: () => colour("--soft"), grid, ticks: grid, font: "12px system-ui, sans-serif" };
  return {
    width, height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { sync: { key: sync.key }, drag: { x: false, y: false }, points: { size: 6 } },
    legend: { live: false, show: labels.length > 1 },
    scales: { y: { range: (plot, low, high) => scale(low, high, "floats" in figure.dataset) } },
    axes: [{ ...axis, space: 64, values: TIMES }, { ...axis, size: 52, values: (plot, ticks) => ticks.map(short) }],
    series: [{}, ...labels.map((label, index) => ({
      label, width: 1.5,
      stroke: () => line(index), fill: bars ? () => `${line(index)}66` : undefined,
      dash: bars ? [] : DASHES[Math.floor(index / 2) % DASHES.length],
      paths: bars ? uPlot.paths.bars({ size: [0.8, 24] }) : undefined, points: bars ? { show: false } : { size: 5, filter: alone },
    }))],
    hooks: { drawAxes: [drawMarks], setCursor: [(plot) => tell(figure, plot)] },
  };
}

// A point between two gaps has no line, so it is always drawn as a dot.
function alone(plot, series, shown) {
  if (shown) return null;
  const values = plot.data[series];
  return values.map((_, index) => index).filter((index) => values[index] != null && values[index - 1] == null && values[index + 1] == null);
}

// From zero, unless it is a score or a value and far from it: that would be a flat line.
function scale(low, high, floats) {
  if (low === null || high === null) return [0, 1];
  const far = floats && (low > 0 && low > 0.5 * high || high < 0 && high < 0.5 * low);
  const room = (far ? high - low : Math.max(high, 0) - Math.min(low, 0)) * 0.08 || Math.abs(high) * 0.1 || 1;
  return far ? [low - room, high + room] : [Math.min(0, low < 0 ? low - room : 0), Math.max(0, high > 0 ? high + room : 0) || 1];
}

// What the cursor is at, in words, for the chart that a person uses.
function tell(figure, plot) {
  const place = figure.querySelector(".plot");
  const output = figure.querySelector(".reading");
  const index = plot.cursor.idx;
  if (!place.matches(":hover, :focus") || index == null) { output.textContent = ""; return; }
  const row = rowsOf(figure)[index];
  if (row) output.textContent = `${row.cells[0].textContent}: ${heads(figure).map((head, at) => `${head} ${row.cells[at + 1].textContent}`).join(", ")}`;
}

function move(plot, step) {
  const last = plot.data[0].length - 1;
  const index = Math.min(last, Math.max(0, (plot.cursor.idx ?? last) + step));
  plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: HEIGHT / 3 });
}

function build(figure) {
  const place = figure.querySelector(".plot");
  const chart = { plot: null, labels: "" };
  charts.push(chart);
  const draw = () => {
    const { labels, data } = read(figure);
    if (chart.plot && chart.labels === labels.join("\n")) return chart.plot.setData(data);
    chart.plot?.destroy();
    chart.labels = labels.join("\n");
    chart.plot = new uPlot(options(figure, labels, place.clientWidth), data, place);
  };
  draw();
  new MutationObserver(draw).observe(figure.querySelector("details"), { childList: true });
  new ResizeObserver(() => {
    if (place.clientWidth && place.clientWidth !== chart.plot.width) chart.plot.setSize({ width: place.clientWidth, height: HEIGHT });
  }).observe(place);
  const keys = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 };
  place.addEventListener("keydown", (event) => {
    if (!(event.key in keys)) return;
    event.preventDefault();
    move(chart.plot, keys[event.key]);
  });
}

// A chart that has its first figures, or none any more, comes with a reload.
const state = document.getElementById("trend-state");
const present = () => state.querySelector("[data-charts]").dataset.charts;
const shown = present();
new MutationObserver(() => { if (present() !== shown) location.reload(); }).observe(state, { childList: true });

const repaint = () => charts.forEach(({ plot }) => plot.redraw(false, true));

for (const figure of document.querySelectorAll(".trend")) build(figure);
new MutationObserver(repaint).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
new MutationObserver(repaint).observe(document.getElementById("trend-marks"), { childList: true });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
