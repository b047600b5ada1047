"use strict";
// Completes the filter: offers the fields, operators and values that may follow what is written, in the list that the
// browser itself shows below the field, for mouse and keyboard. The words come from the API when the field is entered.
const filter = document.querySelector("form.filter input[name=where]");
const offers = document.querySelector("#filter-words");
const TOKEN = /"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|[(),]|!?[=~]|[<>]=?|[^\s=!~<>()",']+/g;
const OPEN = /^(?:"(?:\\.|[^"\\])*|'(?:\\.|[^'\\])*)$/; // a text in quotes that has no end yet
const NEXT = {
  field: (token, at) => (/^(not|\()$/i.test(token) ? "field" : ((at.field = token), "operator")),
  operator: (token) => (/^in$/i.test(token) ? "list" : "value"),
  value: () => "join",
  list: () => "member",
  member: () => "comma",
  comma: (token) => (token === "," ? "member" : "join"),
  join: (token) => (token === ")" ? "join" : "field"),
};
let words = null;

function candidates(at) {
  const kind = words.fields[at.field];
  if (at.state === "field") return [...Object.keys(words.fields), "attributes.", "not"];
  if (at.state === "operator") return kind === "number" || kind === "time" ? ["=", "<", ">"] : ["=", "!=", "~", "in ("];
  if (at.state === "join") return ["and", "or"];
  if (at.state === "comma") return [",", ")"];
  if (at.state === "list") return ["("];
  return (words.values[at.field] || []).map((word) => (/^[\w.:-]+$/.test(word) ? word : JSON.stringify(word)));
}

function offered(text) {
  const tokens = text.match(TOKEN) || [];
  const begun = /[\w."'-]$/.test(text) || OPEN.test(tokens.at(-1)) ? tokens.pop() : "";
  const at = { state: "field", field: "" };
  for (const token of tokens) at.state = NEXT[at.state](token, at);
  const before = text.slice(0, text.length - begun.length);
  const found = candidates(at).filter((word) => word.toLowerCase().startsWith(begun.toLowerCase()) && word !== begun);
  return found.map((word) => before + word);
}

function offer() {
  offers.replaceChildren(...offered(filter.value).map((text) => new Option("", text)));
}

let asking = false;

// Without an answer, the next letter asks again.
async function enter() {
  if (words || asking) return;
  asking = true;
  const written = filter.value;
  const answer = await fetch(filter.form.dataset.words).catch(() => null);
  if (answer && answer.ok) words = await answer.json().catch(() => null);
  asking = false;
  if (words) offer();
  else if (filter.value !== written) enter();
}

filter.addEventListener("input", () => (words ? offer() : enter()));
filter.addEventListener("focus", enter);
// Whoever was quicker than this script stands in the field already: that focus is over, and does not come again.
if (document.activeElement === filter) enter();
