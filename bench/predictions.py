"""Images that a system coloured elsewhere, measured like any model: systems that cannot run here get their rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.checkpoints import file_sha256
from bench.datasets import Dataset
from bench.errors import DatasetError
from bench.suffixes import PHOTO_SUFFIXES

LOSSY = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


@dataclass(frozen=True)
class Predictions:
    """A folder of coloured images, each named like its photograph (any suffix).

    Args:
        folder: searched with its subfolders.
        name: what the tables call the system; default: the folder's name.

    Raises:
        DatasetError: there is no such folder, it holds no image, or two images have one name.
    """

    folder: Path
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or self.folder.resolve().name

    def images(self) -> dict[str, Path]:
        """Stem -> image."""
        if not self.folder.is_dir():
            raise DatasetError(f"there is no folder {self.folder}; --predictions names a folder of coloured images.")
        found: dict[str, Path] = {}
        for path in sorted(p for p in self.folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES and p.is_file()):
            if path.stem in found:
                raise DatasetError(f"{found[path.stem]} and {path} have one name; each photograph has one prediction.")
            found[path.stem] = path
        if not found:
            raise DatasetError(
                f"{self.folder} holds no image; suffixes looked for: {' '.join(sorted(PHOTO_SUFFIXES))}."
            )
        return found

    def matched(self, dataset: Dataset) -> dict[str, Path]:
        """Photograph name -> its coloured image; photographs without one are left out.

        Raises:
            DatasetError: no image at all is named like a photograph of the dataset.
        """
        images = self.images()
        pairs = {name: images[stem] for name in dataset.names if (stem := PurePosixPath(name).stem) in images}
        if not pairs:
            raise DatasetError(
                f"no image in {self.folder} is named like a photograph of {dataset.key}: "
                f"found {next(iter(images))}, expected names like {PurePosixPath(dataset.names[0]).stem}."
            )
        return pairs

    def digest(self, pairs: dict[str, Path]) -> str:
        """sha256 over the names and bytes of the matched images."""
        lines = (f"{name}\0{file_sha256(path)}\n" for name, path in sorted(pairs.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()
