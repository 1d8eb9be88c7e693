"""The files a chain needs: impulse responses, and plugins where the user allowed them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stepedit_fx.effects.chain import External, Series, active
from stepedit_fx.effects.values import ChainProblem
from stepedit_fx.errors import EffectError

_RESPONSE = "impulse_response_filename"


def located(path: str, folder: Path) -> Path:
    """A path as a chain gives it: relative to a folder, absolute, or from the user's home (~)."""
    return folder / Path(path).expanduser()


def plugin_path(external: External, folder: Path, plugin_folders: Sequence[Path]) -> Path:
    """A plugin's real path, links followed, if it lies in an allowed folder.

    A plugin is a program: a graph file from somewhere else must not start one unasked.
    Raises EffectError.
    """
    path = located(external.path, folder)
    real = path.resolve()
    if not any(real.is_relative_to(allowed.resolve()) for allowed in plugin_folders):
        allow = f"If you trust it, allow its folder: --allow-plugins {real.parent}"
        raise EffectError(f"{external.form} {path} is in no folder you allowed", remedy=allow)
    if not real.exists():
        raise EffectError(f"{external.form} {path}: no such file", remedy="Check the path.")
    return real


def check_files(
    chain: Series, folder: Path, plugin_folders: Sequence[Path] = ()
) -> list[ChainProblem]:
    """Impulse responses that are not there, plugins that are not there or not allowed."""
    problems = []
    for path, effect in active(chain):
        if isinstance(effect, External):
            try:
                plugin_path(effect, folder, plugin_folders)
            except EffectError as error:
                problems.append(ChainProblem((*path, effect.form, "path"), str(error)))
        elif effect.name == "Convolution":
            file = located(str(dict(effect.params)[_RESPONSE]), folder)
            if not file.is_file():
                problems.append(ChainProblem((*path, effect.name, _RESPONSE), f"no file {file}"))
    return problems


def files_used(chain: Series, folder: Path) -> list[Path]:
    """The files whose content decides the result besides the chain's data, in order.

    A plugin that is a folder (a bundle, as VST3 is on Linux and macOS) stands for the files
    inside; one that is missing stands for itself.
    """
    used: list[Path] = []
    for _, effect in active(chain):
        if isinstance(effect, External):
            path = located(effect.path, folder)
            inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else []
            used += inside or [path]
        elif effect.name == "Convolution":
            used.append(located(str(dict(effect.params)[_RESPONSE]), folder))
    return used
