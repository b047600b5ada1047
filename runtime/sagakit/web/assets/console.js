"use strict";
// Keeps a page up to date: asks for it again while it is visible, and morphs what has changed into it. A page that is
// the same is answered by 304 without a body. Nothing is replaced while somebody writes into a form or has marked text.
const pause = Number(document.body.dataset.refresh || 0) * 1000;
let tag = document.body.dataset.tag || "";

function busy() {
  const at = document.activeElement;
  const form = at && at.matches("input, textarea, select") && at.form;
  const writes = form && form.matches("[method=post], .boxes");
  return document.hidden || writes || String(document.getSelection()) !== "";
}

// Somebody has filled in a part of a form that changes something: that must not be lost.
function filled(form) {
  return [...form.elements].some((one) => {
    if (one.options) return one.selectedIndex !== Math.max(0, [...one.options].findIndex((option) => option.defaultSelected));
    return one.type === "checkbox" ? one.checked !== one.defaultChecked : one.value !== (one.defaultValue ?? one.value);
  });
}

function stays(node) {
  return ["charts", "filter-words"].includes(node.id) || (node.matches?.("form[method=post]") && filled(node));
}

// What morphs comes with the first renewal, long after the first paint.
function morphing() {
  const script = Object.assign(document.createElement("script"), { src: document.body.dataset.morph });
  return new Promise((done, fail) => {
    script.addEventListener("load", done);
    script.addEventListener("error", fail);
    document.head.append(script);
  });
}

async function refresh() {
  if (busy()) return;
  // an answer that another page has just got will do
  const headers = { "Cache-Control": `max-age=${Math.floor(pause / 2000)}`, ...(tag && { "If-None-Match": tag }) };
  const answer = await fetch(location.href, { headers, cache: "no-store" });
  if (!answer.ok) return;
  const text = await answer.text();
  if (!window.Idiomorph) await morphing();
  if (busy()) return;
  tag = answer.headers.get("ETag") || "";
  const found = new DOMParser().parseFromString(text, "text/html");
  const open = new Set([...document.querySelectorAll("details[open]")].map((one) => one.id));
  if (window.drawDiagram) drawDiagram(found, room());
  for (const one of found.querySelectorAll("details")) one.open = open.has(one.id);
  const callbacks = { beforeNodeMorphed: (one) => !stays(one) };
  Idiomorph.morph(document.querySelector("main"), found.querySelector("main"), { ignoreActiveValue: true, callbacks });
  if (window.drawCharts) drawCharts();
}

if (pause) {
  setInterval(() => refresh().catch(() => {}), pause);
  document.addEventListener("visibilitychange", () => refresh().catch(() => {}));
}

// The keys: those of the dialog in frame.html.
const pages = { o: "/", s: "/stuck", a: "/sagas", l: "/dead-letters", d: "/definitions", w: "/workers", u: "/audit", j: "/jobs" };
const ways = { ArrowLeft: "prev", ArrowRight: "next" };
let going = false;

function replayLink(key) {
  const scrolls = document.activeElement.matches("#diagram");
  return key in ways && !scrolls ? document.querySelector(`nav.replay a[rel=${ways[key]}]`) : null;
}

function press(key) {
  const goes = going && key in pages;
  going = key === "g";
  if (goes) {
    document.querySelector("header nav").querySelectorAll("a")[Object.keys(pages).indexOf(key)].click();
  } else if (replayLink(key)) {
    replayLink(key).click();
  } else if (key === "?") {
    document.querySelector("#keys").showModal();
  } else if (key === "/") {
    const filter = document.querySelector("form.filter input[name=where]");
    if (filter) filter.select();
    else document.querySelector("header nav a[href$='/sagas']").click();
  } else return going;
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.activeElement.matches("input, textarea, select")) return;
  if (press(event.key)) event.preventDefault();
});

// The page of time zones offers the browser's own, until one is chosen.
const guesses = document.querySelector("select[data-guess]");
if (guesses) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone; // it takes a browser some milliseconds to find out
  const guessed = [...guesses.options].find((one) => one.value === own);
  if (guessed) guessed.selected = true;
}

// The command of the page can be copied where the browser lets a page do that.
const command = document.querySelector("#command");
if (command && navigator.clipboard) {
  const copy = document.createElement("button");
  copy.textContent = "copy";
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command.textContent);
    copy.textContent = "copied";
  });
  command.after(copy);
}

document.querySelector("nav.replay input")?.addEventListener("change", (event) => event.target.form.submit());
