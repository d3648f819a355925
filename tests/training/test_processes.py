"""What several processes must share besides gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Run by every process. Batch norm is not shared, so that each has the statistics of its own photographs.
PROGRAM = """
import sys
from pathlib import Path

import torch

from bench.errors import ConfigError
from bench.training.config import load_config
from bench.training.parallel import gathered
from bench.training.trainer import Trainer

folder, out = sys.argv[1], Path(sys.argv[2])
changes = ["options.widths=[4, 8, 8, 8]", "steps=3", "batch_size=4", "data.size=32", "augment.size=32"]
changes += ["data.workers=0", "validation.every=0", "log.grid_every=0", "log.tensorboard=false", "ema=0.5"]
config = load_config("eccv16-mini", changes, folder)


def statistics(trainer):
    states = (trainer.recipe.model.state_dict(), trainer.average.state)
    return torch.cat([t.flatten() for s in states for k, t in s.items() if k.endswith(("running_mean", "running_var"))])


trainer = Trainer(config, out / "run", "cpu")
save, before = trainer.save, []
trainer.save = lambda: (before.extend(gathered(statistics(trainer))), save())
trainer.run()
own, after = before[:2], gathered(statistics(trainer))
assert (own[0] - own[1]).abs().max() > 1e-3, "each process has seen other photographs"
assert torch.equal(after[0], after[1])
assert torch.allclose(after[0], (own[0] + own[1]) / 2, atol=1e-6)

# The first process finds the run, the second an empty folder.
longer = load_config("eccv16-mini", [*changes, "steps=4"], folder)
elsewhere = Trainer(longer, out / ("run", "none")[trainer.rank], "cpu")
try:
    elsewhere.restore(resume=True)
except ConfigError as error:
    assert "steps 3, None" in str(error), error
else:
    raise AssertionError("the processes start from different steps")
print("all is well")
"""


@pytest.mark.slow
def test_processes_agree_on_statistics_and_on_where_to_start(photographs: Callable[..., Path], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(program), str(photographs(8)), str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("all is well") == 2
