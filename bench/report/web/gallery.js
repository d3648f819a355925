"use strict";

/** One photograph of the gallery. It is built when it first comes near the screen, and holds pictures only there. */
class Card {
  constructor(gallery, setPlace, photoPlace) {
    Object.assign(this, { gallery, setPlace, photoPlace, set: sets[setPlace] });
    this.photo = this.set.photos[photoPlace];
    this.own = {}; // sides chosen for this card alone
    this.near = false;
    const { name } = this.photo;
    this.root = element("article", { class: "card" }, element("h3", { class: "name", title: name }, name));
    this.root.card = this;
  }

  get chosen() {
    return { ...this.gallery.chosen, ...this.own };
  }

  approach() {
    this.near = true;
    if (!this.comparison) this.#build();
    this.draw();
  }

  leave() {
    this.near = false;
    this.comparison?.clear();
  }

  choose(which, key) {
    if (!this.photo.pictures.includes(key)) return;
    this.own[which] = key;
    this.draw();
  }

  draw() {
    if (!this.near) return;
    const { left, right } = this.chosen;
    const pictures = picturesOf(this.setPlace, this.photoPlace);
    const [one, other] = [left, right].map((key) => side(this.set, this.photo, pictures, key));
    this.comparison.show(this.photo.name, one, other);
    this.left.value = left;
    this.right.value = right;
    const values = valuesOf(this.photo, right);
    this.values.replaceChildren(
      ...this.set.numbers.flatMap((number, n) => {
        if (values === null || values[n] === null) return [];
        const sorted = this.gallery.sort === String(n);
        const term = element("dt", { title: explained(number) }, number.label);
        return element("div", { class: sorted && "sorted" }, term, element("dd", {}, printed(number, values[n])));
      }),
    );
  }

  #build() {
    this.comparison = new Comparison();
    this.left = this.#select("left", "Left side");
    this.right = this.#select("right", "Right side");
    this.values = element("dl", { class: "values" });
    const label = `Enlarge ${this.photo.name}`;
    const enlarge = element("button", { type: "button", class: "enlarge", "aria-label": label }, "+");
    enlarge.addEventListener("click", () => this.#enlarge());
    this.root.append(
      element("div", { class: "picture" }, this.comparison.root, enlarge),
      element("div", { class: "sides" }, this.left, this.right),
      this.values,
    );
    if (this.photo.notes.length) this.root.append(element("p", { class: "note" }, this.photo.notes.join("; ")));
    this.root.addEventListener("keydown", (event) => this.#key(event));
  }

  #select(which, label) {
    const select = element("select", { "aria-label": `${label} of ${this.photo.name}` });
    offer(select, sides(this.set, this.photo), this.chosen[which]);
    select.addEventListener("change", () => this.choose(which, select.value));
    return select;
  }

  #enlarge() {
    const { shown, viewer } = this.gallery;
    viewer.open(this.setPlace, shown.map((card) => card.photoPlace), this.photoPlace, this.chosen);
  }

  #key(event) {
    if (event.target.matches("select, button")) return;
    const key = keyOfDigit(event);
    if (key !== null) this.choose("right", key);
    else if (event.key === "Enter") this.#enlarge();
    else return;
    event.preventDefault();
  }
}

/** The cards of one dataset: which are shown, in which order, and what each compares. */
class Gallery {
  constructor(controls, list, status, viewer) {
    Object.assign(this, { controls, list, status, viewer });
    this.places = [...sets.keys()].filter((place) => sets[place].photos.some((photo) => photo.pictures.length));
    this.watcher = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (isIntersecting) target.card.approach();
          else target.card.leave();
        }
      },
      { rootMargin: "400px 0px" },
    );
    controls.addEventListener("submit", (event) => event.preventDefault());
    // Pictures come after this script in the page; the first cards may have been asked for theirs too early.
    document.addEventListener("DOMContentLoaded", () => this.shown.forEach((card) => card.draw()));
    this.open(this.places[0]);
  }

  open(place) {
    const set = (this.set = sets[place]);
    this.place = place;
    this.chosen = { left: "input", right: this.#firstKept(set) };
    Object.assign(this, { find: "", sort: "", of: "right", order: "down" });
    const kept = [...set.photos.keys()].filter((i) => set.photos[i].pictures.length);
    this.cards = kept.map((i) => new Card(this, place, i));
    this.#control();
    this.#refresh();
  }

  get byNumber() {
    return this.set.numbers[this.sort] !== undefined;
  }

  /** Filter and sort the cards. */
  arrange() {
    const kept = this.cards.filter((card) => matches(card.photo, this.find));
    if (this.sort === "name") kept.sort((a, b) => collator.compare(a.photo.name, b.photo.name));
    else if (this.byNumber) {
      const value = new Map(kept.map((card) => [card, this.#value(card.photo)]));
      kept.sort((a, b) => inOrder(value.get(a), value.get(b), this.order === "down"));
    }
    this.shown = kept;
    this.watcher.disconnect();
    this.cards.filter((card) => card.near && !kept.includes(card)).forEach((card) => card.leave());
    this.list.replaceChildren(...kept.map((card) => card.root));
    kept.forEach((card) => this.watcher.observe(card.root));
    this.status.textContent = this.#counted();
  }

  #counted() {
    const [shown, all] = [this.shown, this.cards].map((cards) => counted.format(cards.length));
    const of = shown === all ? "" : ` of ${all}`;
    const reference = this.set.original ? "" : "; they have no colour reference";
    const noun = this.cards.length === 1 ? "photograph" : "photographs";
    const sorted = !this.byNumber || !this.shown.length || this.shown.some((card) => this.#value(card.photo) !== null);
    const wanted = this.of === "gain" ? "models on both sides" : "another side";
    return `${shown}${of} ${noun}${reference}${sorted ? "" : `; nothing to sort by: choose ${wanted}`}`;
  }

  /** What a card is sorted by; null goes last. */
  #value(photo) {
    const n = Number(this.sort);
    const { left, right } = this.chosen;
    if (this.of === "spread") {
      const values = photo.values.map((row) => row[n]).filter((value, m) => this.set.competing[m] && value !== null);
      return values.length > 1 ? Math.max(...values) - Math.min(...values) : null;
    }
    const [a, b] = [valuesOf(photo, right)?.[n] ?? null, valuesOf(photo, left)?.[n] ?? null];
    if (this.of === "right") return a;
    return a === null || b === null ? null : a - b;
  }

  #firstKept(set) {
    const models = [...set.models.keys()];
    const ordered = [...models.filter((m) => set.competing[m]), ...models].map(String); // not gray, if there is another
    return ordered.find((key) => set.photos.some((photo) => photo.pictures.includes(key))) || "input";
  }

  #control() {
    const { set } = this;
    const change = (key) => (value) => {
      this[key] = value;
      this.#refresh();
    };
    const compare = (which) => (value) => {
      this.chosen[which] = value;
      for (const card of this.cards) delete card.own[which];
      this.#refresh();
    };
    const numbers = set.numbers.map((number, n) => [String(n), number.label]);
    const several = set.competing.filter(Boolean).length > 1; // floor, ceiling and random weights are no spread
    const of = [["right", "right side"], ["gain", "right minus left"]];
    if (several) of.push(["spread", "spread of models"]);
    const orders = [["down", "highest first"], ["up", "lowest first"]];
    renew(
      this.controls,
      ...datasetChoice(this.places, this.place, (p) => this.open(p)),
      finder(change("find")),
      choice("Left", sides(set), this.chosen.left, compare("left")).root,
      choice("Right", sides(set), this.chosen.right, compare("right")).root,
      choice("Sort by", [["", "order of dataset"], ["name", "name"], ...numbers], this.sort, change("sort")).root,
      (this.ofControl = choice("Of", of, this.of, change("of")).root),
      (this.orderControl = choice("Order", orders, this.order, change("order")).root),
    );
  }

  #refresh() {
    this.ofControl.hidden = this.orderControl.hidden = !this.byNumber;
    this.arrange();
    this.cards.forEach((card) => card.draw());
  }
}

function inOrder(a, b, descending) {
  if (a === null || b === null) return (a === null) - (b === null);
  return descending ? b - a : a - b;
}

if (byId("cards")) new Gallery(...["gallery-controls", "cards", "gallery-status"].map(byId), viewer);
