"""Facts of code, libraries and device, against git, the interpreter and torch themselves."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.environment import code_version, cpu_name, device_facts, git_state, library_versions, source_digest

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for name in ("bench", "models"):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").write_text(f"# {name}\n")
    return root


@needs_git
def test_git_state_is_that_of_the_code_not_of_the_working_folder(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (code, elsewhere):
        git(folder, "init", "-q")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "--allow-empty", "-m", "x")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("GIT_DIR", str(elsewhere / ".git"))
    commit = git(code, "rev-parse", "HEAD")
    assert git_state(code, ("bench", "models")) == (commit, False)
    (code / "notes.txt").write_text("results do not make code dirty")
    assert git_state(code, ("bench", "models")) == (commit, False)
    (code / "models" / "weights").mkdir()
    (code / "models" / "weights" / "new.json").write_text("neither do weights")
    assert git_state(code, ("bench", "models")) == (commit, False)
    (code / "models" / "new.py").write_text("x = 1\n")
    assert git_state(code, ("bench", "models")) == (commit, True)
    (code / "models" / "new.py").unlink()
    (code / "bench" / "__init__.py").write_text("# edited\n")
    assert git_state(code, ("bench", "models")) == (commit, True)


@needs_git
def test_git_state_ignores_a_repository_that_does_not_track_the_code(code: Path) -> None:
    git(code.parent, "init", "-q")
    git(code.parent, "commit", "-q", "--allow-empty", "-m", "x")
    assert git_state(code, ("bench", "models")) == (None, None)


def test_git_state_is_silent_without_repository_or_git(
    code: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert git_state(code, ("bench",)) == (None, None)
    assert git_state(code, ("absent",)) == (None, None)
    monkeypatch.setenv("PATH", str(code))
    assert git_state(code, ("bench",)) == (None, None)
    assert capfd.readouterr() == ("", "")


def test_source_digest_changes_with_every_edit(code: Path) -> None:
    def digest() -> str:
        return source_digest(code, ("bench", "models"))

    seen = [digest()]
    (code / "bench" / "sub").mkdir()
    (code / "bench" / "sub" / "new.py").write_text("")
    seen.append(digest())
    (code / "bench" / "sub" / "new.py").rename(code / "bench" / "sub" / "renamed.py")
    seen.append(digest())
    (code / "bench" / "sub" / "renamed.py").write_text("x = 1\n")
    seen.append(digest())
    assert len(set(seen)) == 4
    (code / "bench" / "notes.txt").write_text("no source")
    assert digest() == seen[-1]
    assert all(re.fullmatch("[0-9a-f]{12}", d) for d in seen)


def test_source_digest_is_the_documented_one(code: Path) -> None:
    expected = hashlib.sha256(b"bench/__init__.py\x008\0# bench\nmodels/__init__.py\x009\0# models\n").hexdigest()
    assert source_digest(code, ("models", "bench")) == expected[:12]


def test_code_version_describes_this_code() -> None:
    found = code_version()
    assert found.version == importlib.metadata.version("colorization-bench")
    root = Path(__file__).parents[1]
    assert found.digest == source_digest(root, ("bench", "models", "baselines"))
    if (root / ".git").exists() and shutil.which("git"):
        assert found.commit == git(root, "rev-parse", "HEAD")


def test_library_versions_without_importing_them() -> None:
    versions = library_versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    code = (
        "import sys; from bench.environment import *; code_version(), library_versions(); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.strip() == b"False"


def test_cpu_facts() -> None:
    facts = device_facts("cpu")
    assert (facts["type"], facts["count"], facts["threads"]) == ("cpu", 1, torch.get_num_threads())
    assert facts["name"] == facts["cpu"] == cpu_name() != ""
    assert facts["cuda"] is None
    assert facts["tf32_matmul"] is None
    assert facts["autocast"] is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert device_facts("cpu")["autocast"] == "bfloat16"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["tf32", "ieee"])
def test_cuda_facts(precision: str) -> None:
    """In a process of its own: torch lets no process go back to the older way of setting TF32."""
    code = (
        "import torch; from bench.environment import device_facts\n"
        "older = device_facts('cuda')['tf32_matmul']\n"
        "assert older is False, older\n"
        "torch.backends.cuda.matmul.allow_tf32 = True\n"
        "assert device_facts('cuda')['tf32_matmul'] is True\n"
        f"torch.backends.cuda.matmul.fp32_precision = '{precision}'\n"
        "facts = device_facts('cuda')\n"
        f"assert facts['tf32_matmul'] is {precision == 'tf32'}, facts\n"
        "assert facts['name'] == torch.cuda.get_device_name(0) and facts['cuda'] == torch.version.cuda, facts\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
