from __future__ import annotations

from pathlib import Path

import pytest
from made_reports import HOSTILE, page_of, put_run


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models on 12 photographs, four of them with hostile names, one of which failed; one on old photographs."""
    folder = tmp_path_factory.mktemp("report") / "runs"
    names = [*HOSTILE, *(f"photo{i}" for i in range(8))]
    put_run(folder, "first", names)
    put_run(folder, "second", names, environment__command="bench run --model 'a b'  --dataset <coco>")
    put_run(folder, "third<i>", names, failed=[0], kept=[1, 2, 3])
    put_run(folder, "first", ["old 1", "old 2", "old 3"], reference=False)
    return folder


@pytest.fixture(scope="session")
def page(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(store, tmp_path_factory.mktemp("page"))
