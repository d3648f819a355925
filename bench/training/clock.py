"""How fast a training is, and how much of the time it waits for data."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Where the time goes since ``begun``."""

    begun: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    images: int = 0

    def add(self, waited: float, images: int) -> None:
        self.waited += waited
        self.images += images

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.begun, 1e-9)

    @property
    def waiting(self) -> float:
        """Share of the time."""
        return self.waited / self.seconds

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds
