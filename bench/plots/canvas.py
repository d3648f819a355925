"""Pictures and texts at places given in inches, so that pictures stand close together."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

POINTS, LINE = 6.5, 0.115  # size of the type, inches of a line of it
GAP = 0.03  # inches between pictures
HEADLINE = 0.22  # inches


class Canvas:
    """A figure to place things on; x and y are inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure((width, height))

    def picture(self, pixels: NDArray[Any], x: float, y: float, width: float, height: float, **how: Any) -> Axes:
        """Show ``pixels`` as large as fits into a box, whose upper left corner is given. ``how`` is for ``imshow``."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.imshow(pixels, **how)
        axes.set_axis_off()
        return axes

    def text(self, text: str, x: float, y: float, **how: Any) -> None:
        """Write ``text`` below the place, unless ``va`` says otherwise."""
        look: dict[str, Any] = {"size": POINTS, "linespacing": 1.15, "va": "top"} | how
        self.figure.text(x / self.width, 1 - y / self.height, text, **look)

    def headline(self, text: str, y: float = 0) -> None:
        self.text(text, 0, y, weight="bold", size=8.5)
