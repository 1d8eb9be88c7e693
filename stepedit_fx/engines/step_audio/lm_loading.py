"""The language model of a checkpoint, straight onto its device."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from transformers import BitsAndBytesConfig, CompressedTensorsConfig
from transformers.utils import logging as hf_logging

from stepedit_fx.engines.step_audio.documents import read_json
from stepedit_fx.engines.step_audio.int8 import quantize
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.linear import with_fast_rows
from stepedit_fx.errors import ReadError, RequestError

logger = logging.getLogger(__name__)

FETCH = "Fetch it again: `stepedit-fx models fetch`."


def load_language_model(
    folder: Path, *, dtype: torch.dtype, device: torch.device, quantization: str = "none"
) -> Step1ForCausalLM:
    """The model in a folder, for inference. Nothing in the folder but tensors and JSON is read.

    quantization: "none", "int8" (see `int8`) or "int4" by bitsandbytes while loading; a checkpoint
    that is quantized already (AWQ) says so itself. Raises ReadError for tensors that are missing or
    of another model, RequestError where bitsandbytes is needed and not installed.
    """
    try:
        with _without_progress_bar(), warnings.catch_warnings():
            # It says that the folder's own config wins, which is what is wanted.
            warnings.filterwarnings("ignore", "You passed `quantization_config`")
            loaded: Any = Step1ForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                # What is made smaller must not be on a small card as a whole first.
                device_map={"": "cpu" if quantization == "int8" else device},
                quantization_config=_quantized(folder, quantization, dtype),
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError) as error:
        raise ReadError.of(folder, f"cannot be loaded: {error}", remedy=FETCH) from error
    except Exception as error:
        # safetensors' own error for a file that is cut off or no safetensors at all
        if type(error).__name__ != "SafetensorError":
            raise
        raise ReadError.of(folder, f"holds a damaged shard: {error}", remedy=FETCH) from error
    model: Step1ForCausalLM = loaded[0].eval()
    told: dict[str, Any] = loaded[1]
    for what in ("missing", "unexpected", "mismatched"):
        names = sorted(str(name) for name in told.get(f"{what}_keys") or ())
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
            raise ReadError.of(
                folder,
                f"{len(names)} tensors are {what}: {shown}",
                remedy="Is it another model? `stepedit-fx models check` lists every file.",
            )
    model.requires_grad_(False)
    if quantization == "int8":
        # lm_head stays whole: it is small beside the layers, and the codes are read off it.
        quantize(model.model.layers)
        cast("Any", model).to(device)
    elif device.type == "cpu" and dtype == torch.bfloat16:
        with_fast_rows(model.model.layers)
    return model


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """The command line draws its own."""
    if not hf_logging.is_progress_bar_enabled():
        yield
        return
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        hf_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _quantized(folder: Path, quantization: str, dtype: torch.dtype) -> Any:
    """How to read the tensors; None where they are plain. Raises RequestError for what cannot be.

    A checkpoint packed by compressed-tensors (the published 4-bit one) is unpacked on load:
    transformers would do it at the first call anyway, and fails on zero points before that.
    """
    packed = (read_json(folder / "config.json").get("quantization_config") or {}).get(
        "quant_method", ""
    )
    if packed and quantization != "none":
        raise RequestError(
            f"{folder} is quantized already ({packed})",
            remedy="Leave quantization out, or name the full weights.",
        )
    if packed == "compressed-tensors":
        _needs("compressed_tensors", f"{folder.name}, which is packed in 4 bits,")
        return CompressedTensorsConfig(dequantize=True)
    if packed == "awq":
        _needs("gptqmodel", f"{folder.name}, which is in AutoAWQ's format,")
    if packed or quantization != "int4":
        return None
    _needs("bitsandbytes", f"quantization: {quantization}")
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_type="nf4",
        llm_int8_skip_modules=["lm_head"],
    )


def _needs(module: str, who: str) -> None:
    if find_spec(module) is None:
        name = module.replace("_", "-")
        raise RequestError(f"{who} needs {name}", remedy=f"Run `pip install {name}`.")
