"""Whether the libraries are there that the base install does without."""

from __future__ import annotations

from importlib.util import find_spec

from stepedit_fx.errors import RequestError

# Of the extra "step-audio" in pyproject.toml.
LIBRARIES = (
    "accelerate",
    "huggingface_hub",
    "onnxruntime",
    "sentencepiece",
    "torch",
    "transformers",
)


def check_installed() -> None:
    """Raise RequestError that names what is missing and how to install it."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise RequestError(
            f"the step-audio engine needs {', '.join(missing)}",
            remedy="Run `pip install 'stepedit-fx[step-audio]'`.",
        )
