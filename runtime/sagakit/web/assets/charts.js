"use strict";
// Draws the table of what happened in each minute as small charts, one for each outcome. The table stays, for those who
// want the numbers. Bars are drawn by uPlot; the last one is of the present minute, and grows. Both come after the first
// paint: nobody waits for them to read the page.
const COLORS = { started: "--link", completed: "--good", failed: "--calm", stuck: "--bad" };
const HIGH = 110;
const place = document.querySelector("#charts");
const table = document.querySelector("#rates table");
let charts = [];

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The rows from the oldest on. A minute that nobody has counted yet is a gap.
function rows() {
  return [...table.tBodies[0].rows].reverse().map((row) => [
    Number(row.dataset.at),
    ...[...row.cells].slice(1).map((cell) => (/\d/.test(cell.textContent) ? Number(cell.textContent.replace(/\D/g, "")) : null)),
  ]);
}

function clock(seconds) {
  const form = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: table.dataset.zone };
  return new Intl.DateTimeFormat("en", form).format(new Date(seconds * 1000));
}

function options(name, title, width) {
  const axis = { stroke: color("--dim"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  const tell = (chart) => {
    const at = chart.cursor.idx ?? chart.data[0].length - 1;
    const number = chart.data[1][at];
    title.replaceChildren(`${number === null || number === undefined ? "…" : number.toLocaleString("en")} `, name);
    title.append(Object.assign(document.createElement("small"), { textContent: ` at ${clock(chart.data[0][at])}` }));
  };
  return {
    width,
    padding: [8, 4, 0, 0],
    height: HIGH,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { range: (chart, from, to) => [from - 45, to + 45] }, y: { range: (chart, from, to) => [0, Math.max(4, to * 1.1)] } },
    axes: [
      { ...axis, size: 22, space: 60, grid: { show: false }, values: (chart, at) => at.map(clock) },
      { ...axis, size: 34, gap: 2, space: 30, grid: { stroke: color("--line"), width: 1 }, incrs: [1, 2, 5].flatMap((one) => [0, 1, 2, 3, 4, 5, 6].map((ten) => one * 10 ** ten)).sort((a, b) => a - b) },
    ],
    series: [{}, { fill: color(COLORS[name]), width: 0, paths: uPlot.paths.bars({ size: [0.75, 24] }), points: { show: false } }],
    hooks: { setCursor: [tell], setData: [tell], ready: [tell] },
  };
}

function build() {
  charts.forEach(({ chart }) => chart.destroy());
  const found = rows();
  const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
  const made = names.map((name, number) => {
    const card = document.createElement("figure"), title = document.createElement("figcaption");
    card.className = "card chart";
    card.append(title);
    return { name, number, card, title };
  });
  place.replaceChildren(...made.map(({ card }) => card));
  charts = made.map(({ name, number, card, title }) => ({
    card,
    number,
    chart: new uPlot(options(name, title, card.clientWidth - 16), data(found, number), card),
  }));
}

function data(found, number) {
  return [found.map((row) => row[0]), found.map((row) => row[number + 1])];
}

window.drawCharts = () => {
  const found = rows();
  charts.forEach(({ chart, number }) => chart.setData(data(found, number)));
};

function loaded(element) {
  return new Promise((done, fail) => {
    element.addEventListener("load", done);
    element.addEventListener("error", fail);
    document.head.append(element);
  });
}

async function begin() {
  const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: place.dataset.style });
  const script = Object.assign(document.createElement("script"), { src: place.dataset.script });
  await Promise.all([loaded(style), loaded(script)]);
  build();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
  window.addEventListener("resize", () => charts.forEach(({ chart, card }) => chart.setSize({ width: card.clientWidth - 16, height: HIGH })));
}

requestAnimationFrame(() => setTimeout(() => begin().catch(() => (document.querySelector("#rates").open = true))));
