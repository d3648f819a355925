"use strict";

const byId = (id) => document.getElementById(id);

/** The photographs and their numbers; see PhotoSet in photosets.py. */
const sets = JSON.parse(byId("sets").textContent);

/** A new element. Whatever comes from a Run becomes text or the value of an attribute, never markup. */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** A labelled select. Choices: [value, text, disabled?]. */
function choice(label, choices, value, onChange) {
  const select = element("select");
  offer(select, choices, value);
  select.addEventListener("change", () => onChange(select.value));
  const root = element("label", { class: "choice" }, element("span", {}, label), select);
  return { root, select };
}

function offer(select, choices, value) {
  select.replaceChildren(
    ...choices.map(([key, text, disabled]) => element("option", { value: key, disabled: disabled || false }, text)),
  );
  select.value = value;
}

/** Which dataset to show; nothing where there is one only. */
function datasetChoice(places, place, open) {
  if (places.length < 2) return [];
  const choices = places.map((p) => [String(p), sets[p].title]);
  const { root } = choice("Dataset", choices, String(place), (p) => open(Number(p)));
  root.classList.add("wide");
  return [root];
}

/** New controls in the place of others; whoever was among them stays there. */
function renew(form, ...controls) {
  const within = form.contains(document.activeElement);
  form.replaceChildren(...controls);
  if (within) form.querySelector("select").focus();
}

/** A labelled field to filter by text. */
function finder(onInput) {
  const input = element("input", { type: "search", placeholder: "name", autocomplete: "off", spellcheck: "false" });
  input.addEventListener("input", () => onInput(input.value));
  return element("label", { class: "choice wide" }, element("span", {}, "Find"), input);
}

const collator = new Intl.Collator("en", { numeric: true });
const counted = new Intl.NumberFormat("en");

function printed(number, value) {
  return value === null ? "–" : value.toFixed(number.decimals);
}

function direction(number) {
  return { higher: "↑", lower: "↓" }[number.better] || "";
}

function explained(number) {
  const better = { higher: "; higher is better", lower: "; lower is better" }[number.better] || "";
  return number.definition + (number.unit ? `, in ${number.unit}` : "") + better;
}

function matches(photo, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const content = [photo.name, ...photo.notes].join(" ").toLowerCase();
  return words.every((word) => content.includes(word));
}

/** Sides that a comparison can show: [key, text, disabled]. Models carry the digit that chooses them. */
function sides(set, photo) {
  const models = set.models.map((name, place) => [String(place), place < 9 ? `${place + 1} ${name}` : name]);
  const all = [["input", "input"], ...(set.original ? [["original", "original"]] : []), ...models];
  return all.map(([key, text]) => [key, text, photo !== undefined && !photo.pictures.includes(key)]);
}

function sideName(set, key) {
  return set.models[Number(key)] ?? key;
}

/** One side of a comparison; its address is missing where no picture was kept, or none has arrived yet. */
function side(set, photo, pictures, key) {
  return { name: sideName(set, key), kept: photo.pictures.includes(key), address: pictures[key] };
}

/** Numbers of one side of a photograph; null where there are none. */
function valuesOf(photo, key) {
  return key === "original" ? photo.original : photo.values[Number(key)] || null;
}

/** Pictures of a photograph, side -> address. Empty until that part of the page has arrived. */
function picturesOf(setPlace, photoPlace) {
  const block = byId(`pictures-${setPlace}-${photoPlace}`);
  const encoded = block ? JSON.parse(block.textContent) : {};
  return Object.fromEntries(Object.entries(encoded).map(([key, text]) => [key, `data:image/jpeg;base64,${text}`]));
}
