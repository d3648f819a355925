"use strict";

/** Two pictures of one photograph with a divider that is moved by pointer, touch or arrow keys. */
class Comparison {
  constructor() {
    this.left = element("img", { class: "left", alt: "", draggable: "false", decoding: "async" });
    this.right = element("img", { class: "right", alt: "", draggable: "false", decoding: "async" });
    this.range = element("input", { type: "range", min: "0", max: "100", step: "1", value: "50" });
    this.range.addEventListener("input", () => this.move(Number(this.range.value)));
    const divider = element("span", { class: "divider", "aria-hidden": "true" });
    this.root = element("div", { class: "comparison" }, this.right, this.left, divider, this.range);
    this.root.addEventListener("pointerdown", (event) => this.#begin(event));
    this.root.addEventListener("pointermove", (event) => this.#follow(event));
    this.move(50);
  }

  /** Put the divider at a percentage of the width. */
  move(percent) {
    this.range.value = percent;
    this.range.setAttribute("aria-valuetext", `${percent} %`);
    this.root.style.setProperty("--at", `${percent}%`);
  }

  /** Sides as ``side`` makes them; one without an address is left empty. */
  show(photo, left, right) {
    this.range.setAttribute("aria-label", `${photo}: divider between ${left.name} and ${right.name}`);
    this.root.classList.toggle("incomplete", !left.kept || !right.kept);
    this.#put(this.left, photo, left);
    this.#put(this.right, photo, right);
  }

  /** Give the pictures' memory back. */
  clear() {
    for (const picture of [this.left, this.right]) picture.removeAttribute("src");
  }

  #put(picture, photo, { name, address }) {
    picture.alt = `${photo}, ${name}`;
    if (!address) picture.removeAttribute("src");
    else if (picture.getAttribute("src") !== address) picture.src = address;
  }

  #begin(event) {
    if (event.button !== 0) return;
    this.root.setPointerCapture(event.pointerId);
    this.#follow(event);
    this.range.focus({ preventScroll: true });
    event.preventDefault(); // else the press takes the focus away again
  }

  #follow(event) {
    if (!this.root.hasPointerCapture(event.pointerId)) return;
    const { left, width } = this.root.getBoundingClientRect();
    this.move(Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - left)) / width))));
  }
}
