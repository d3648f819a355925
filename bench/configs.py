"""YAML configurations: found by name or path, and checked; errors name the key and the nearest valid one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bench.errors import ConfigError, UnknownNameError

# Beside this package, in the repository as in an installation.
_FOLDER = Path(__file__).resolve().parents[1] / "configs"
_TITLES = {
    "ablations": "ablation",
    "protocols": "protocol",
    "suites": "suite",
    "train": "training configuration",
}


class Strict(BaseModel):
    """Settings that refuse a key they do not know. A group of them keeps what it does not name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _fill_groups(cls, content: Any) -> Any:
        """``generator: {lr: 1e-3}`` changes the rate of the class's own generator settings, nothing else of them."""
        if not isinstance(content, Mapping):
            return content
        groups = {name: field.default for name, field in cls.model_fields.items() if isinstance(field.default, Strict)}
        return {
            key: _merged(groups[key].model_dump(), value) if key in groups and isinstance(value, Mapping) else value
            for key, value in content.items()
        }


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the changes, groups within groups alike."""
    found = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found


Settings = TypeVar("Settings", bound=Strict)


def config_names(kind: str) -> list[str]:
    """The configurations of a kind (a folder of ``configs/``, such as ``suites``) that come along, sorted."""
    return sorted(path.stem for path in (_FOLDER / kind).glob("*.yaml"))


def read_config(kind: str, name_or_path: str | Path) -> tuple[dict[str, Any], Path]:
    """The content of a configuration, not yet checked, and the file it stands in.

    Args:
        kind: see ``config_names``.
        name_or_path: a name of ``config_names(kind)``, or a YAML file; what has a suffix or a folder is a file.

    Raises:
        UnknownNameError: no configuration of that name.
        ConfigError: the file is missing, cannot be read, or holds no ``key: value`` lines.
    """
    names, what = config_names(kind), _TITLES[kind]
    path = _FOLDER / kind / f"{name_or_path}.yaml" if str(name_or_path) in names else Path(name_or_path).expanduser()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path.suffix or len(path.parts) > 1:
            raise ConfigError(
                f"there is no file {path}. Expected YAML, or a {what} of ours: {', '.join(names)}."
            ) from None
        raise UnknownNameError(what, str(name_or_path), names) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path} holds no settings. Expected `key: value` lines, as in configs/{kind}.")
    return content, path


def checked(kind: type[Settings], content: Mapping[str, Any], where: str, above: str = "") -> Settings:
    """``content`` as settings of this kind. ``where`` is what errors name, ``above`` the key that holds it.

    Raises:
        ConfigError: a key or a value does not fit; names the key and the nearest one.
    """
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigError("\n".join(_explained(kind, p, where, above) for p in error.errors())) from error


def _explained(kind: type[Strict], problem: Any, where: str, above: str) -> str:
    """One problem of pydantic's as a sentence with file, key and the nearest valid key."""
    loc = [str(part) for part in problem["loc"]]
    key = ".".join(([above] if above else []) + loc)
    message = problem["msg"].removeprefix("Value error, ")  # pydantic's own words before ours
    if problem["type"] != "extra_forbidden":
        value = "" if problem["type"] == "missing" or not loc else f" (found {problem['input']!r})"
        return f"{where}, key {key!r}: {message}{value}." if key else f"{where}: {message}."
    known = list(_settings_at(kind, loc[:-1]).model_fields)
    close = difflib.get_close_matches(loc[-1], known, n=1, cutoff=0.5)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    return f"{where}: there is no key {key!r}.{guess} Known: {', '.join(known)}."


def _settings_at(kind: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """The settings that a key belongs to; keys of mappings and places in lists lead to what these hold."""
    for part in path:
        if part in kind.model_fields:
            kind = _settings_in(kind.model_fields[part].annotation) or kind
    return kind


def _settings_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _settings_in(part))), None)
