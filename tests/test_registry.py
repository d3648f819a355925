"""Names, cards and the one door for built-ins and third parties."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.colorizer import Colorizer
from bench.errors import BenchError, ConfigError, UnknownNameError
from bench.registry import ModelCard, Weights, build, card_of, is_file_reference, list_models, model_names

SOURCE = """
from bench.colorizer import Colorizer
from bench.registry import ModelCard, Weights

CARDS: tuple[ModelCard, ...] = (
    ModelCard(name="{name}", family="guests", title="A guest", year=2024, weights=(
        Weights(name="w", file="w.pth", url="https://example.org/w.pth"),
    )),
)

class Guest(Colorizer):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be positive, not {width}")
        self.width = width

def number() -> int:
    return 3
"""


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    (tmp_path / "guest_model.py").write_text(SOURCE.replace("{name}", "Guest"), encoding="utf-8")
    return tmp_path / "guest_model.py"


def run(code: str, *paths: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_unknown_model_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'ddcolr'\. Did you mean ddcolor"):
        card_of("ddcolr")
    with pytest.raises(UnknownNameError, match=r"Known: .*gray"):
        build("zzz")


def test_unknown_weights_get_a_suggestion() -> None:
    card = card_of("ddcolor")
    assert card.weights_named("paper") is card.weights[0]
    with pytest.raises(UnknownNameError, match=r"weights of ddcolor 'modelscop'\. Did you mean modelscope"):
        card.weights_named("modelscop")


def test_every_model_has_a_card_of_its_own() -> None:
    cards = list_models()
    assert [c.name for c in cards] == [c.name for c in sorted(cards, key=lambda c: (c.family, c.name))]
    assert sorted(c.name for c in cards) == model_names()
    for card in cards:
        assert card.title != card.name, f"{card.name} has no entry in the CARDS of {card.module}"
        assert len({w.name for w in card.weights}) == len(card.weights)


def test_listing_imports_neither_torch_nor_a_model() -> None:
    code = (
        "import sys; from bench.registry import list_models; assert list_models();"
        "print([m for m in sys.modules if m in ('torch', 'timm', 'models.ddcolor', 'baselines.gray')])"
    )
    assert run(code) == "[]"


def test_file_reference(guest: Path) -> None:
    card = card_of(f"{guest}:Guest")
    assert (card.family, card.year, card.module) == ("guests", 2024, str(guest))
    assert card.weights == (Weights(name="w", file="w.pth", url="https://example.org/w.pth"),)
    model = build(f"{guest}:Guest", width=7)
    assert isinstance(model, Colorizer)
    assert getattr(model, "width") == 7  # noqa: B009 - the class is only known at run time


def test_weights_that_come_with_a_model_are_described_beside_it(guest: Path) -> None:
    facts = guest.parent / "weights" / "Guest.json"
    facts.parent.mkdir()
    facts.write_text('{"name": "own", "file": "own.safetensors", "sha256": "ab", "note": "100 steps"}')
    card = card_of(f"{guest}:Guest")
    assert [weights.name for weights in card.weights] == ["own", "w"]
    assert card.weights[0] == Weights(name="own", file="own.safetensors", sha256="ab", note="100 steps")


def test_a_class_without_a_card_has_the_weights_beside_it_too(guest: Path) -> None:
    facts = guest.parent / "weights" / "number.json"
    facts.parent.mkdir()
    facts.write_text('{"name": "own", "file": "own.safetensors"}')
    assert [weights.name for weights in card_of(f"{guest}:number").weights] == ["own"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"name": "own"}', '{"name": "own", "flie": "x"}'])
def test_what_describes_no_weights_is_named(text: str, guest: Path) -> None:
    facts = guest.parent / "weights" / "Guest.json"
    facts.parent.mkdir()
    facts.write_text(text)
    with pytest.raises(BenchError, match=r"Guest\.json does not describe weights.*Expected the fields of Weights"):
        card_of(f"{guest}:Guest")


def test_file_reference_without_a_card(tmp_path: Path) -> None:
    path = tmp_path / "plain.py"
    path.write_text("from bench.colorizer import Colorizer as Plain\n", encoding="utf-8")
    reference = f"{path}:Plain"
    assert card_of(reference) == ModelCard(name=reference, family=reference, title=reference, module=str(path))
    assert isinstance(build(reference), Colorizer)


def test_file_reference_that_leads_nowhere(guest: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean Guest"):
        build(f"{guest}:Gest")
    for call in (card_of, build):
        with pytest.raises(BenchError, match=r"no file .*absent\.py.*file\.py:ClassName"):
            call(f"{guest.parent}/absent.py:Guest")


def test_what_is_built_must_be_a_colorizer(guest: Path) -> None:
    with pytest.raises(BenchError, match="builds a int"):
        build(f"{guest}:number")


@pytest.mark.parametrize(
    "cards",
    ["(ModelCard(name=open('x').read()),)", "(ModelCard(name='a' + str(1)),)", "make_cards()", "(Other(name='a'),)"],
)
def test_cards_with_code_in_them_are_refused_and_not_run(tmp_path: Path, cards: str) -> None:
    path = tmp_path / "sly.py"
    path.write_text(f"from bench.registry import ModelCard\n\nCARDS = {cards}\n", encoding="utf-8")
    with pytest.raises(BenchError, match=r"sly\.py, line 3: CARDS may hold only literals"):
        card_of(f"{path}:Net")


@pytest.mark.parametrize(
    ("cards", "sentence"),
    [
        ("ModelCard(\n  name='a', family='b', titel='c')", r"line 4\) 'titel'\. Did you mean title"),
        ("ModelCard(name='a', family='b', title='c', weights=(\n  Weights(name='w', flie='x'),))", r"line 4\) 'flie'"),
        ("ModelCard(name='a', title='c')", r"line 3: this ModelCard lacks family"),
        (
            "ModelCard(name='a', family='b', title='c', weights=(Weights(\nname='w'),))",
            r"line 3: this Weights lacks file",
        ),
        ("ModelCard(**facts)", r"line 3: CARDS may hold only literals"),
        ("ModelCard(name='a',, family='b')", r"line 3: this is not Python: invalid syntax"),
    ],
)
def test_a_mistake_in_a_card_is_named_with_its_place(tmp_path: Path, cards: str, sentence: str) -> None:
    path = tmp_path / "hasty.py"
    path.write_text(f"from bench.registry import ModelCard, Weights\n\nCARDS = ({cards},)\n", encoding="utf-8")
    with pytest.raises(BenchError, match=rf"hasty\.py, {sentence}"):
        card_of(f"{path}:Net")


def test_options_that_do_not_fit_are_named(guest: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not take width=-2: width must be positive, not -2"):
        build(f"{guest}:Guest", width=-2)
    with pytest.raises(ConfigError, match=r"does not take witdh=3: .*unexpected keyword argument"):
        build(f"{guest}:Guest", witdh=3)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("import absent_package", "No module named 'absent_package'"),
        ("from json import absent", "cannot import name 'absent'"),
        ("def forward(self:", "'\\(' was never closed"),
        ("import guest_helper", "invalid syntax .*guest_helper.py, line 1"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, reason: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "guest_helper.py").write_text("1 +", encoding="utf-8")
    (tmp_path / "torn.py").write_text(f"import torch\n\n{statement}\n", encoding="utf-8")
    place = "" if "helper" in statement else r".*torn\.py, line 3"
    with pytest.raises(BenchError, match=rf"torn\.py:Net' cannot be imported: {reason}{place}"):
        build(f"{tmp_path}/torn.py:Net")
    assert "bench_model_torn" not in sys.modules


def test_file_references_are_told_from_names() -> None:
    assert is_file_reference("some/where/net.py:Net")
    assert not any(map(is_file_reference, model_names()))


def test_third_party_enters_by_entry_point(tmp_path: Path) -> None:
    (tmp_path / "guest_package.py").write_text(SOURCE.replace("{name}", "guest-net"), encoding="utf-8")
    (tmp_path / "guest_torn.py").write_text("import torch\nimport absent_package\n", encoding="utf-8")
    info = tmp_path / "guest_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-package\nVersion: 1.0\n", encoding="utf-8")
    guests = ("guest-net = guest_package:Guest", "broken-net = guest_package:Absent", "torn-net = guest_torn:Net")
    entries = "\n".join(("[bench.models]", *guests))
    (info / "entry_points.txt").write_text(entries, encoding="utf-8")
    code = (
        "from bench.registry import *; from bench.errors import BenchError\n"
        "card = card_of('guest-net'); print(card.title, card.module, build('guest-net', width=4).width)\n"
        "assert {'guest-net', 'gray'} <= {c.name for c in list_models()}\n"
        "for name in ('broken-net', 'torn-net'):\n"
        "    try: build(name)\n"
        "    except BenchError as error: print(error)\n"
    )
    first, second, third = run(code, tmp_path).splitlines()
    assert first == "A guest guest_package 4"
    assert second.startswith("model 'broken-net' (guest_package:Absent) cannot be imported")
    assert third.startswith("model 'torn-net' (guest_torn:Net) cannot be imported: No module named 'absent_package'")
    assert third.endswith("guest_torn.py, line 2).")
