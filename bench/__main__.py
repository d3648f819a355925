"""``python -m bench``, so that ``torchrun -m bench run ...`` works."""

from bench.cli import main

main(prog_name="bench")
