"use strict";

/** One photograph enlarged, with the numbers of every model. */
class Viewer {
  constructor(dialog) {
    this.dialog = dialog;
    this.comparison = new Comparison();
    this.name = element("h3", { id: "viewer-name", class: "name" });
    this.notes = element("p", { class: "note" });
    this.left = choice("Left", [], "", (key) => this.#choose("left", key));
    this.right = choice("Right", [], "", (key) => this.#choose("right", key));
    this.table = element("table");
    this.previous = this.#button("Previous", () => this.#step(-1));
    this.next = this.#button("Next", () => this.#step(1));
    const close = this.#button("Close", () => dialog.close());
    const region = { class: "scroll", role: "region", "aria-label": "Numbers", tabindex: "0" };
    const numbers = element("div", region, this.table);
    dialog.append(
      element("header", {}, this.name, this.previous, this.next, close),
      element(
        "div",
        { class: "enlarged" },
        element("div", {}, this.comparison.root, element("div", { class: "sides" }, this.left.root, this.right.root)),
        element("div", {}, this.notes, numbers),
      ),
    );
    dialog.addEventListener("keydown", (event) => this.#key(event));
    dialog.addEventListener("close", () => this.comparison.clear());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  /** Photographs: places within the set, in the order in which Previous and Next go. */
  open(setPlace, photographs, photoPlace, chosen) {
    Object.assign(this, { setPlace, photographs, photoPlace, chosen: { ...chosen } });
    this.#draw();
    this.dialog.showModal();
    this.comparison.range.focus();
  }

  #button(text, action) {
    const button = element("button", { type: "button" }, text);
    button.addEventListener("click", action);
    return button;
  }

  #draw() {
    const set = sets[this.setPlace];
    const photo = set.photos[this.photoPlace];
    const pictures = picturesOf(this.setPlace, this.photoPlace);
    const place = this.photographs.indexOf(this.photoPlace);
    this.previous.disabled = place <= 0;
    this.next.disabled = place < 0 || place === this.photographs.length - 1;
    this.name.textContent = photo.name;
    this.notes.textContent = photo.notes.join("; ");
    this.notes.hidden = !photo.notes.length;
    offer(this.left.select, sides(set, photo), this.chosen.left);
    offer(this.right.select, sides(set, photo), this.chosen.right);
    const [left, right] = [this.chosen.left, this.chosen.right].map((key) => side(set, photo, pictures, key));
    this.comparison.show(photo.name, left, right);
    this.#tabulate(set, photo);
  }

  #tabulate(set, photo) {
    const heads = set.numbers.map((number) =>
      element("th", { scope: "col", title: explained(number) }, `${number.label} ${direction(number)}`),
    );
    const keys = [...set.models.keys()].map(String);
    if (photo.original.some((value) => value !== null)) keys.push("original");
    const rows = keys.map((key) => {
      const chosen = key === this.chosen.right || key === this.chosen.left;
      const values = valuesOf(photo, key).map((value, n) => element("td", {}, printed(set.numbers[n], value)));
      const head = element("th", { scope: "row", class: "name" }, sideName(set, key));
      return element("tr", { class: chosen ? "chosen" : false }, head, ...values);
    });
    this.table.replaceChildren(
      element("thead", {}, element("tr", {}, element("td"), ...heads)),
      element("tbody", {}, ...rows),
    );
  }

  #choose(which, key) {
    if (!sets[this.setPlace].photos[this.photoPlace].pictures.includes(key)) return;
    this.chosen[which] = key;
    this.#draw();
  }

  #step(by) {
    const next = this.photographs[this.photographs.indexOf(this.photoPlace) + by];
    if (next === undefined) return;
    this.photoPlace = next;
    this.#draw();
  }

  #key(event) {
    if (event.target.matches("select")) return;
    const key = keyOfDigit(event);
    if (key !== null) this.#choose("right", key);
    else if (event.key === "PageUp") this.#step(-1);
    else if (event.key === "PageDown") this.#step(1);
    else return;
    event.preventDefault();
  }
}

/** The side that a digit chooses: 1–9 a model, 0 the original; null for other keys. */
function keyOfDigit(event) {
  if (!/^[0-9]$/.test(event.key) || event.ctrlKey || event.altKey || event.metaKey) return null;
  return event.key === "0" ? "original" : String(Number(event.key) - 1);
}

const viewer = new Viewer(byId("viewer"));
