"""What the page does, without the page: which models there are, and a photograph coloured by one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw

from bench.colorizer import Colorizer, colorize
from bench.errors import BenchError
from bench.hints import Point, hints_from_points
from bench.images import read_photo
from bench.loading import check_weights, load_model
from bench.registry import ModelCard, card_of, list_models

_LOADED = 3  # networks that are kept in memory
_SHOWN = (640, 1280)  # pixels of the longer side of what is clicked on, at least and at most


class Studio:
    """The models of the page; each is loaded when it is first asked for, and the last few are kept.

    Args:
        models: names; none = all that have something to train.
        weights: as for ``bench.load_model``, for all of them.
        device: as for ``bench.load_model``.

    Attributes:
        cards: models that can be used, by name.
        absent: why others cannot, by name.

    Raises:
        BenchError: a named model cannot be used, or there is none at all.
    """

    def __init__(
        self, models: Sequence[str] = (), weights: str | Path | None = None, device: str | None = None
    ) -> None:
        self.cards: dict[str, ModelCard] = {}
        self.absent: dict[str, str] = {}
        self._weights, self._device = weights, device
        for card in [card_of(name) for name in models] or [card for card in list_models() if card.trainable]:
            try:
                check_weights(card, weights)
            except BenchError as error:
                if models:
                    raise
                self.absent[card.name] = str(error) if weights else _how_to_get(card)
            else:
                self.cards[card.name] = card
        if not self.cards:
            raise BenchError("no model has its weights here; `bench weights list` shows where to get them.")
        self.load = lru_cache(maxsize=_LOADED)(self._load)

    @property
    def untrained(self) -> bool:
        """Whether the colours mean nothing."""
        return self._weights == "random"

    def colour(
        self, name: str, photo: Image.Image, points: Sequence[Point] = (), seed: int = 0, steps: int | None = None
    ) -> Image.Image:
        """The photograph at its full resolution, coloured by one model.

        Args:
            name: of ``cards``.
            photo: RGB or RGBA, upright.
            points: colour hints; models that take none do not get them.
            seed, steps: for models that draw their colours; others do not get them.

        Raises:
            BenchError: the weights are damaged, a hint lies outside, ...
        """
        card = self.cards[name]
        network = self.load(name, steps if card.stochastic else None)
        hints = hints_from_points(points, (photo.height, photo.width)) if points and card.hints else None
        return colorize(network, photo, hints=hints, seed=seed)

    def _load(self, name: str, steps: int | None) -> Colorizer:
        return load_model(name, self._weights, self._device, **({"steps": steps} if steps else {}))


def _how_to_get(card: ModelCard) -> str:
    if card.weights:
        return "not here yet: bench weights fetch NAME brings the weights"
    return "no weights are known: train it (bench train), or see it untrained (--weights random)"


@dataclass(frozen=True)
class Photo:
    """What a visitor dropped.

    Args:
        name: of the file, without suffix.
        image: RGB or RGBA, upright, at full resolution.
        shown: RGB, reduced if it is large and enlarged if it is small: what the visitor clicks on.
    """

    name: str
    image: Image.Image
    shown: Image.Image

    @classmethod
    def read(cls, path: Path, name: str) -> Photo:
        """Raises ImageError, which calls the file ``name``, where it is no photograph."""
        image = read_photo(path.read_bytes(), name)
        longest = max(image.size)
        scale = min(max(longest, _SHOWN[0]), _SHOWN[1]) / longest
        width, height = (max(1, round(side * scale)) for side in image.size)
        return cls(Path(name).stem, image, image.convert("RGB").resize((width, height)))

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        """A place on what is shown -> the pixel of the photograph there."""
        width, height = self.image.size
        return (
            min(max(int((x + 0.5) * width / self.shown.width), 0), width - 1),
            min(max(int((y + 0.5) * height / self.shown.height), 0), height - 1),
        )

    def marked(self, points: Sequence[Point]) -> Image.Image:
        """What is shown, with a ring around every hint."""
        picture = self.shown.copy()
        draw = ImageDraw.Draw(picture)
        radius = max(5, max(picture.size) // 60)
        for x, y, rgb in points:
            centre = (
                (x + 0.5) * picture.width / self.image.width,
                (y + 0.5) * picture.height / self.image.height,
            )
            for reach, colour in ((radius + 2, "black"), (radius + 1, "white"), (radius - 1, rgb)):
                draw.circle(centre, reach, fill=colour)
        return picture
