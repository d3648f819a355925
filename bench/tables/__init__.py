"""Tables of Runs and of published numbers: sheets, and the forms they are written in."""

from typing import Literal, get_args

Format = Literal["md", "csv", "tex", "html"]
FORMATS: tuple[Format, ...] = get_args(Format)
