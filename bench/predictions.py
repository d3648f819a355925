"""Images that a system coloured elsewhere, measured like any model: systems that cannot run here get their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.datasets import Dataset
from bench.datasets.digests import combined, file_digest
from bench.datasets.search import by_path
from bench.errors import DatasetError
from bench.suffixes import PHOTO_SUFFIXES

LOSSY = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


@dataclass(frozen=True)
class Predictions:
    """A folder of coloured images, each named like its photograph (any suffix).

    Args:
        folder: searched with its subfolders; hidden files are skipped.
        name: what the tables call the system; default: the folder's name.
    """

    folder: Path
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or self.folder.resolve().name

    def images(self) -> dict[str, Path]:
        """POSIX path below the folder, without suffix -> image.

        Raises:
            DatasetError: there is no such folder, it holds no image, or two images differ in their suffix alone.
        """
        if not self.folder.is_dir():
            raise DatasetError(f"there is no folder {self.folder}; --predictions names a folder of coloured images.")
        found: dict[str, Path] = {}
        for relative, path in by_path(self.folder).items():
            bare = _without_suffix(relative)
            if bare in found:
                raise DatasetError(
                    f"{found[bare]} and {path} have one name; each photograph has one prediction. Remove one of them."
                )
            found[bare] = path
        if not found:
            raise DatasetError(
                f"{self.folder} holds no image; suffixes looked for: {' '.join(sorted(PHOTO_SUFFIXES))}."
            )
        return found

    def matched(self, dataset: Dataset) -> dict[str, Path]:
        """Photograph name -> its coloured image; photographs without one are left out.

        An image belongs to the photograph of the same path (suffixes aside); else to that of the same file name in
        another folder, provided that only one photograph and one image have that name.

        Raises:
            DatasetError: an image may be of several photographs, or a photograph has several images; or no image at
                all is named like a photograph.
        """
        images = self.images()
        bare = {name: _without_suffix(name) for name in dataset.names}
        claims = Counter(bare.values())
        pairs = {}
        for name, path in bare.items():
            if path not in images:
                continue
            if claims[path] > 1:
                raise DatasetError(
                    f"{images[path]} may be of {claims[path]} photographs of {dataset.key}: they are named "
                    f"{path} but for their suffix, which does not count. Rename them, and their images."
                )
            pairs[name] = images[path]
        pairs |= self._matched_by_stem(bare, images)
        if not pairs:
            raise DatasetError(
                f"no image in {self.folder} is named like a photograph of {dataset.key}: "
                f"found {next(iter(images))}, expected names like {next(iter(claims))}."
            )
        return {name: pairs[name] for name in dataset.names if name in pairs}

    def _matched_by_stem(self, photographs: Mapping[str, str], images: Mapping[str, Path]) -> dict[str, Path]:
        """Pairs among what the paths leave over. ``photographs``: name -> path without suffix; ``images`` by such."""
        of_photographs = Counter(_stem(bare) for bare in photographs.values())
        of_images = Counter(_stem(bare) for bare in images)
        lacking = {_stem(bare): name for name, bare in photographs.items() if bare not in images}
        known = set(photographs.values())
        pairs = {}
        for bare, path in images.items():
            stem = _stem(bare)
            if bare in known or stem not in lacking:
                continue
            if of_photographs[stem] > 1 or of_images[stem] > 1:
                raise DatasetError(
                    f"{path} cannot be told apart: {of_photographs[stem]} photographs and {of_images[stem]} images are "
                    f"named {stem}. Expected each image at the path of its photograph below {self.folder}, e.g. "
                    f"{photographs[lacking[stem]]}{path.suffix}."
                )
            pairs[lacking[stem]] = path
        return pairs

    def digest(self, pairs: Mapping[str, Path]) -> str:
        """sha256 over the names and bytes of the matched images; an unreadable one counts as such."""
        names = sorted(pairs)
        return combined(names, (file_digest(pairs[name]) for name in names))


def _without_suffix(name: str) -> str:
    """Of a photograph or image only the suffix of a photograph is cut: names of datasets may contain dots."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in PHOTO_SUFFIXES else name


def _stem(bare: str) -> str:
    return PurePosixPath(bare).name
