"use strict";

const PAGE = 50;

/** The numbers of every photograph under every model: sorted, filtered, a page at a time. */
class Rows {
  constructor(table, controls, status, previous, next, viewer) {
    Object.assign(this, { table, controls, status, previous, next, viewer });
    this.places = [...sets.keys()].filter((place) => sets[place].photos.length);
    previous.addEventListener("click", () => this.#turn(-1));
    next.addEventListener("click", () => this.#turn(1));
    controls.addEventListener("submit", (event) => event.preventDefault());
    this.open(this.places[0]);
  }

  open(place) {
    const set = (this.set = sets[place]);
    this.place = place;
    Object.assign(this, { find: "", model: "", column: null, descending: false });
    this.rows = set.photos.flatMap((photo, at) =>
      set.models.map((_, model) => ({ photo, at, model, values: photo.values[model] })),
    );
    this.rows = this.rows.filter((row) => row.values.some((value) => value !== null));
    const change = (key) => (value) => {
      this[key] = value;
      this.#arrange();
    };
    const models = [["", "all"], ...set.models.map((name, i) => [String(i), name])];
    renew(
      this.controls,
      ...datasetChoice(this.places, place, (p) => this.open(p)),
      finder(change("find")),
      choice("Model", models, "", change("model")).root,
    );
    this.#head();
    this.#arrange();
  }

  #head() {
    const { set } = this;
    const numbers = set.numbers.map((number) => [number.label, direction(number), explained(number)]);
    this.heads = [["Photograph", "", ""], ["Model", "", ""], ...numbers].map(([label, arrow, title], column) => {
      const better = element("span", { class: "quiet" }, arrow && ` ${arrow}`);
      const button = element("button", { type: "button", title: title || false }, label, better);
      button.addEventListener("click", () => this.#sort(column));
      return element("th", { scope: "col", class: column < 2 ? "text" : false }, button);
    });
    this.body = element("tbody");
    this.table.replaceChildren(element("thead", {}, element("tr", {}, ...this.heads)), this.body);
  }

  #sort(column) {
    const better = column < 2 ? "lower" : this.set.numbers[column - 2].better;
    this.descending = this.column === column ? !this.descending : better !== "lower";
    this.column = column;
    this.#arrange();
  }

  #arrange() {
    const kept = this.rows.filter(
      (row) => (this.model === "" || row.model === Number(this.model)) && matches(row.photo, this.find),
    );
    const turn = this.descending ? -1 : 1;
    if (this.column === 0) kept.sort((a, b) => turn * collator.compare(a.photo.name, b.photo.name));
    else if (this.column === 1) kept.sort((a, b) => turn * (a.model - b.model));
    else if (this.column !== null) {
      kept.sort((a, b) => inOrder(a.values[this.column - 2], b.values[this.column - 2], this.descending));
    }
    this.kept = kept;
    this.first = 0;
    this.heads.forEach((head, column) => {
      if (column !== this.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
    });
    this.#draw();
  }

  #turn(by) {
    this.first += by * PAGE;
    this.#draw();
    this.table.parentElement.scrollTop = 0;
  }

  #draw() {
    const { set, kept, first } = this;
    const end = Math.min(first + PAGE, kept.length);
    this.status.textContent = kept.length
      ? `${counted.format(first + 1)}–${counted.format(end)} of ${counted.format(kept.length)} rows`
      : "No row matches.";
    this.previous.hidden = this.next.hidden = kept.length <= PAGE;
    this.previous.disabled = first === 0;
    this.next.disabled = end === kept.length;
    this.body.replaceChildren(
      ...kept.slice(first, end).map((row) =>
        element(
          "tr",
          {},
          element("th", { scope: "row", class: "name", title: row.photo.notes.join("; ") || false }, this.#name(row)),
          element("td", { class: "text name" }, set.models[row.model]),
          ...row.values.map((value, n) => element("td", {}, printed(set.numbers[n], value))),
        ),
      ),
    );
  }

  /** Opens the pictures, where they were kept. */
  #name({ photo, at, model }) {
    if (!photo.pictures.includes(String(model))) return photo.name;
    const button = element("button", { type: "button" }, photo.name);
    const shown = () => [...new Set(this.kept.filter((row) => row.photo.pictures.length).map((row) => row.at))];
    button.addEventListener("click", () => {
      this.viewer.open(this.place, shown(), at, { left: "input", right: String(model) });
    });
    return button;
  }
}

if (byId("rows")) new Rows(...["rows", "rows-controls", "rows-status", "rows-previous", "rows-next"].map(byId), viewer);
