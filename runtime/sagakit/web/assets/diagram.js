"use strict";
// Draws the list of nodes in a page as a graph: dagre places the nodes, in layers. The list stays for screen readers.
const HEIGHT = 52, LINE = 15, MOST = 280, SMALLEST = 0.75;
const ruler = document.createElement("canvas").getContext("2d");

function width(text, font) {
  ruler.font = font;
  return ruler.measureText(text).width;
}

function draw(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// The outline tells the kind of a node: a step is a box, a signal a hexagon, a timer a pill, an each a pile of boxes, and
// a child a box with bars at its sides. A pivot has a second outline.
function outline({ kind, pivot, width: w, height: h }) {
  const box = { x: 0, y: 0, width: w, height: h, rx: kind === "timer" ? h / 2 : 7 };
  const found = [];
  if (kind === "each") found.push(draw("rect", { ...box, x: 6, y: -6 }));
  if (kind === "signal") found.push(draw("path", { d: `M12 0H${w - 12}L${w} ${h / 2}L${w - 12} ${h}H12L0 ${h / 2}Z` }));
  else found.push(draw("rect", box));
  if (kind === "child") found.push(draw("path", { d: `M7 0V${h}M${w - 7} 0V${h}`, class: "bars" }));
  if (pivot) found.push(draw("rect", { x: -4, y: -4, width: w + 8, height: h + 8, rx: 10, class: "pivot" }));
  return found;
}

function cut(text) {
  return text.length > 34 ? `${text.slice(0, 33)}…` : text;
}

// A note that is long has two lines. In a narrow diagram, as of a phone, it has as many as it takes.
function lines(text, narrow) {
  if (narrow) return text.match(/\S.{0,13}(?=\s|$)|\S+/g) || [text];
  const middle = text.length > 24 ? text.lastIndexOf(" ", Math.max(text.indexOf(" until "), 20) + 1) : -1;
  return middle > 0 ? [text.slice(0, middle), text.slice(middle + 1)] : [text];
}

function nodes(list, narrow) {
  return [...list.children].map((item) => {
    const { name, after, kind, pivot, tone } = item.dataset;
    const [label, note] = [cut(name), item.querySelector(".note").textContent];
    const [shape, state] = [item.querySelector("[aria-hidden]").textContent, item.querySelector(".state").textContent];
    const more = lines(note || state, narrow).map(cut);
    const wide = Math.max(width(`${shape} ${label}`, "600 14px system-ui"), ...more.map((text) => width(text, "12px system-ui")));
    return { name, after: after.split(" ").filter(Boolean), kind, pivot: Boolean(pivot), tone, label, shape, more,
      width: Math.min(MOST, narrow ? Math.max(84, wide + 24) : Math.max(110, wide + 40)), height: HEIGHT + LINE * (more.length - 1), title: `${name}: ${state}. ${note}` };
  });
}

function layout(list, direction, narrow) {
  const all = nodes(list, narrow), margin = narrow ? 8 : 16;
  const graph = new dagre.graphlib.Graph().setGraph({ rankdir: direction, nodesep: narrow ? 10 : 14, ranksep: narrow ? 32 : 44, marginx: margin, marginy: margin });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const one of all) graph.setNode(one.name, { width: one.width, height: one.height });
  for (const one of all) for (const before of one.after) graph.setEdge(before, one.name);
  dagre.layout(graph);
  return { all, graph, w: graph.graph().width, h: graph.graph().height };
}

// The first layout that fits into the room; else the narrowest.
function fitting(list, room) {
  let best;
  for (const [direction, narrow] of [["LR", false], ["TB", false], ["TB", true], ["LR", true]]) {
    const found = layout(list, direction, narrow);
    if (found.w <= room) return found;
    if (!best || found.w < best.w) best = found;
  }
  return best;
}

function drawNode(one, { x, y }) {
  const middle = one.width / 2;
  return draw("g", { class: `node ${one.tone}`, transform: `translate(${x - middle} ${y - one.height / 2})` },
    draw("title", {}, one.title), ...outline(one),
    draw("text", { x: middle, y: 22, class: "name" }, `${one.shape} ${one.label}`.trim()),
    ...one.more.map((text, at) => draw("text", { x: middle, y: 40 + LINE * at, class: "more" }, text)));
}

function drawDiagram(root, room) {
  const figure = root.querySelector("#diagram");
  if (!figure) return;
  const { all, graph, w, h } = fitting(figure.querySelector("ol"), room);
  const arrow = draw("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto" },
    draw("path", { d: "M0 0L8 4L0 8Z" }));
  const edges = graph.edges().map((edge) => draw("path", {
    class: "edge", "marker-end": "url(#arrow)", d: `M${graph.edge(edge).points.map((at) => `${at.x} ${at.y}`).join("L")}`,
  }));
  const scale = Math.max(SMALLEST, Math.min(1, room / w));
  const svg = draw("svg", { width: w * scale, height: h * scale, viewBox: `0 0 ${w} ${h}`, "aria-hidden": "true" }, draw("defs", {}, arrow),
    ...edges, ...all.map((one) => drawNode(one, graph.node(one.name))));
  figure.querySelector("svg")?.remove();
  figure.append(svg);
  figure.classList.add("drawn");
  figure.classList.toggle("wide", w * scale > room); // then the list is shown above it: it needs no scrolling sideways
}

const room = () => document.querySelector("#diagram")?.clientWidth || 0;
addEventListener("resize", () => drawDiagram(document, room()));
drawDiagram(document, room());
