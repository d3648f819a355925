"""YAML configurations: those that come with the package by their name, any other by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.errors import ConfigError, UnknownNameError

# Beside this package, in the repository as in an installation.
_FOLDER = Path(__file__).resolve().parents[1] / "configs"


def config_names(kind: str) -> list[str]:
    """The configurations of a kind (a folder of ``configs/``: ``ablations``, ``suites``) that come along, sorted."""
    return sorted(path.stem for path in (_FOLDER / kind).glob("*.yaml"))


def read_config(kind: str, name_or_path: str | Path) -> tuple[dict[str, Any], Path]:
    """The content of a configuration, not yet checked, and the file it stands in.

    Args:
        kind: see ``config_names``.
        name_or_path: a name of ``config_names(kind)``, or a YAML file.

    Raises:
        UnknownNameError: no configuration of that name.
        ConfigError: the file is missing, cannot be read, or holds no ``key: value`` lines.
    """
    names = config_names(kind)
    path = _FOLDER / kind / f"{name_or_path}.yaml" if str(name_or_path) in names else Path(name_or_path).expanduser()
    what = f"configuration in configs/{kind}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        if path.suffix or len(path.parts) > 1:
            raise ConfigError(f"there is no file {path}. Expected YAML, or a {what}: {', '.join(names)}.") from None
        raise UnknownNameError(what, str(name_or_path), names) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path} holds no settings. Expected `key: value` lines, as in configs/{kind}.")
    return content, path
