"""Where the networks run, and in which numbers: the best that the machine does natively."""

from __future__ import annotations

import torch

from stepedit_fx.engines.step_audio.memory import (
    GB,
    OTHER_NETWORKS_BYTES,
    LanguageModelSize,
    free_memory_bytes,
)
from stepedit_fx.errors import RequestError, did_you_mean

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
NATIVE_BFLOAT16 = (8, 0)  # CUDA's compute capability from which it does bfloat16 itself
FREE_SHARE = 2.0  # float32 on a CPU wants this many times its weights' size free
PUBLISHED = LanguageModelSize()


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name: "auto", "cpu", "cuda", "cuda:1" or "mps".

    auto takes a CUDA GPU, then Apple's, then the CPU. Raises RequestError for one that is not
    there or not known.
    """
    if name == "auto":
        kinds = (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        return torch.device(next((kind for kind, there in kinds if there), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _unknown_device(name) from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "mps" and torch.backends.mps.is_available():
        return device
    if device.type == "cuda" and torch.cuda.is_available():
        return _cuda(device)
    if device.type in {"cuda", "mps"}:
        why = "" if _is_built(device.type) else ": this build of torch has no support for it"
        raise RequestError(
            f"there is no device '{name}' here{why}",
            remedy="Use device: auto or cpu, or install the torch that fits your GPU.",
        )
    raise _unknown_device(name)


def choose_dtype(
    name: str, device: torch.device, *, size: LanguageModelSize = PUBLISHED
) -> torch.dtype:
    """The language model's numbers on a device: "auto", "float32", "bfloat16" or "float16".

    auto is bfloat16, in which the weights were published, where the device does it natively, else
    float16; on a CPU float32, but bfloat16 where the processor multiplies it faster or the machine
    has less than twice the size of float32 free.
    Raises RequestError for another name, or for numbers that the device does not do.
    """
    if name == "auto":
        return _cpu_dtype(size) if device.type == "cpu" else _gpu_dtype(device)
    if name not in DTYPES:
        raise RequestError(f"unknown dtype '{name}'", remedy=did_you_mean(name, DTYPES))
    if name == "bfloat16" and device.type != "cpu" and not _does_bfloat16(device):
        raise RequestError(
            f"{device} does not do bfloat16", remedy="Use dtype: auto, float16 or float32."
        )
    return DTYPES[name]


def what_fits(
    device: torch.device, dtype: torch.dtype | None, size: LanguageModelSize = PUBLISHED
) -> str:
    """What to do when a device's memory is too small: the figures, and the settings that help.

    dtype: of the language model; None where it is elsewhere.
    """
    free = free_bytes(device)
    has = f"{device} has {free / GB:.1f} GB free. " if free is not None else ""
    if dtype is None:
        others = f"The networks that run here take {OTHER_NETWORKS_BYTES / GB:.0f} GB. "
        return f"{has}{others}Use shorter takes, or another device."
    numbers = str(dtype).removeprefix("torch.")
    steps = (numbers, "int8", "int4") if device.type == "cuda" else (numbers, "int8")
    needs = ", ".join(f"{size.weight_bytes(step) / GB:.1f} GB as {step}" for step in steps)
    helps = "quantization: int8 or int4, shorter takes, or device: cpu"
    if device.type == "cpu":
        helps = "dtype: bfloat16, quantization: int8, shorter takes, or a machine with more memory"
    elif device.type == "mps":
        helps = "quantization: int8, shorter takes, or device: cpu"
    return (
        f"{has}The language model takes {needs}; a take adds up to "
        f"{size.cache_bytes() / GB:.1f} GB, the other networks {OTHER_NETWORKS_BYTES / GB:.0f} GB. "
        f"Use {helps}."
    )


def free_bytes(device: torch.device) -> int | None:
    """Memory that a device can still give; None where nobody says."""
    if device.type == "cuda":
        # What torch holds and does not use is as good as free.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    return free_memory_bytes()  # Apple's GPUs share the machine's


def _cuda(device: torch.device) -> torch.device:
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise RequestError(
            f"there is no device '{device}': this machine has {count}",
            remedy=f"Use cuda:0 to cuda:{count - 1}, or device: auto.",
        )
    return device


def _is_built(kind: str) -> bool:
    backend = torch.backends.cuda if kind == "cuda" else torch.backends.mps
    return bool(backend.is_built())


def _unknown_device(name: str) -> RequestError:
    return RequestError(f"unknown device '{name}'", remedy="Known: auto, cpu, cuda, cuda:1, mps.")


def _does_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.version.hip is not None or (
            torch.cuda.get_device_capability(device) >= NATIVE_BFLOAT16
        )
    try:  # Apple's do since macOS 14; asking for some is the way to know
        torch.zeros(1, dtype=torch.bfloat16, device=device)
    except (RuntimeError, TypeError):
        return False
    return True


def _gpu_dtype(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if _does_bfloat16(device) else torch.float16


def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for it (AVX512-BF16 or AMX), and so is faster in it.

    By the processor and not by a trial: a choice must not change from one run to the next.
    """
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in asked)


def _cpu_dtype(size: LanguageModelSize) -> torch.dtype:
    if multiplies_bfloat16():
        return torch.bfloat16
    free = free_memory_bytes()
    enough = free is not None and free >= FREE_SHARE * size.weight_bytes("float32")
    return torch.float32 if enough else torch.bfloat16
