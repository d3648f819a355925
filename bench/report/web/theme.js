"use strict";

// Before the first pixel, so that the page never flashes in the other theme.
const theme = {
  get chosen() {
    try {
      return localStorage.getItem("theme") || "";
    } catch {
      return ""; // storage may be forbidden
    }
  },
  choose(name) {
    document.documentElement.dataset.theme = name;
    try {
      localStorage.setItem("theme", name);
    } catch {
      // then it holds for this visit
    }
  },
};

document.documentElement.dataset.theme = theme.chosen;
