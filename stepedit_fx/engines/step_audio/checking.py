"""Everything that can be said about a folder of models before it is used.

Each network but the language model is opened by the very code that the engine opens it with. The
language model is compared tensor by tensor with the network built on the meta device, so that
7 GB need not be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepedit_fx.engines.step_audio.checkpoint import Checkpoint
from stepedit_fx.engines.step_audio.fetching import read_lock
from stepedit_fx.engines.step_audio.hashes import sha256
from stepedit_fx.engines.step_audio.layout import FETCH, Folders, Part, PublishedFile, locate
from stepedit_fx.engines.step_audio.libraries import check_installed
from stepedit_fx.engines.step_audio.networks import Networks, Precision
from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
from stepedit_fx.engines.step_audio.shards import TensorInfo, read_header, shard_paths
from stepedit_fx.engines.step_audio.vocabulary import BEGIN_OF_TURN_ID, BOS_ID
from stepedit_fx.errors import ReadError, StepEditError

MAX_NAMED = 5
# What stands in place of a matrix where it is quantized; compressed-tensors and AutoAWQ.
_QUANTIZED_ENDS = (
    ".weight_packed", ".weight_scale", ".weight_shape", ".weight_zero_point", ".weight_g_idx",
    ".qweight", ".qzeros", ".scales",
)  # fmt: skip


@dataclass(frozen=True)
class FileReport:
    """One file. bytes: None where it is missing. tensors: what it holds, by name."""

    path: Path
    part: str
    bytes: int | None
    tensors: Mapping[str, TensorInfo] = field(default_factory=dict)
    sha256: str = ""
    problem: str = ""

    @property
    def dtypes(self) -> Counter[str]:
        return Counter(info.dtype for info in self.tensors.values())


@dataclass(frozen=True)
class NetworkReport:
    """Whether a network can be built of its files; the problem says why not."""

    name: str
    problem: str = ""


@dataclass(frozen=True)
class Report:
    """What was found in a folder; `problems` is empty where all is well."""

    folders: Folders
    files: tuple[FileReport, ...]
    networks: tuple[NetworkReport, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        found = (*(f.problem for f in self.files), *(n.problem for n in self.networks))
        return tuple(dict.fromkeys(filter(None, found)))


def check_models(
    path: Path | None = None,
    *,
    deep: bool = False,
    hashed: bool = False,
    lm: RemoteModel | None = None,
) -> Report:
    """Look at every file of a checkpoint and build every network.

    path: as for `find_models`. deep: also look for NaN in all of the language model. hashed: also
    compute every file's sha256, and compare it with what the lock file says. lm: a server to ask
    in place of the language model's files. Raises ReadError only where there is no folder to look
    at, RequestError where a library is missing.
    """
    check_installed()
    folders = locate(path, lm_elsewhere=lm is not None)
    checkpoint = Checkpoint(folders)
    seen = tuple(_file_reports(folders, hashed))
    missing = {report.part for report in seen if report.bytes is None and report.problem}
    networks = Networks(checkpoint, Precision("cpu", "float32"), lm)
    openers: dict[Part, Callable[[], object]] = {
        "language model": lambda: (
            _check_language_model(checkpoint, deep) if lm is None else _check_server(networks)
        ),
        "text tokenizer": lambda: networks.text,
        "flow": lambda: networks.flow,
        "vocoder": lambda: networks.vocoder,
        "speaker": lambda: networks.speaker,
        "linguistic": lambda: networks.linguistic,
        "semantic": lambda: networks.semantic,
    }
    reports = tuple(_network_report(name, opener, missing) for name, opener in openers.items())
    return Report(folders, seen, reports)


def _file_reports(folders: Folders, hashed: bool) -> Iterator[FileReport]:
    stated = _stated(folders)
    for path, file in (*folders.files(), *_shards(folders)):
        if file.needed or path.is_file():
            yield _file_report(path, file, stated.get(path, {}), hashed)


def _shards(folders: Folders) -> Iterator[tuple[Path, PublishedFile]]:
    if folders.lm_elsewhere:
        return
    try:
        paths = shard_paths(folders.language_model)
    except ReadError:  # the language model's own check tells of a broken index
        return
    yield from ((path, PublishedFile(path.name, "language model", "weights")) for path in paths)


def _stated(folders: Folders) -> dict[Path, Mapping[str, Any]]:
    """What the lock file says of each file that it knows."""
    models = folders.tokenizer.parent
    return {
        models / name / file["path"]: file
        for name, entry in read_lock(models).items()
        for file in entry.get("files", ())
    }


def _file_report(
    path: Path, file: PublishedFile, stated: Mapping[str, Any], hashed: bool
) -> FileReport:
    if not path.is_file():
        return FileReport(path, file.part, None, problem=f"{path}: is missing. {FETCH}")
    size = path.stat().st_size
    try:
        tensors = _tensors(path)
        found = sha256(path) if hashed else ""
        wrong = stated.get("bytes", size) != size or (
            bool(found) and bool(stated.get("sha256")) and stated["sha256"] != found
        )
        if wrong:
            raise ReadError.of(path, "is not the file that was fetched", remedy=FETCH)
    except StepEditError as error:
        return FileReport(path, file.part, size, problem=str(error))
    return FileReport(path, file.part, size, tensors, found)


def _tensors(path: Path) -> Mapping[str, TensorInfo]:
    """What a file of weights holds; nothing for other files."""
    if path.suffix == ".safetensors":
        return read_header(path)
    if path.suffix not in {".pt", ".npy"}:
        return {}
    from stepedit_fx.engines.step_audio.readers import read_codebook, read_pt

    if path.suffix == ".npy":
        return {"codebook": TensorInfo(read_codebook(path).shape, "F32")}
    names = {"torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16"}
    return {
        name: TensorInfo(tuple(t.shape), names.get(str(t.dtype), str(t.dtype)))
        for name, t in read_pt(path).items()
    }


def _network_report(name: Part, opener: Callable[[], object], missing: set[str]) -> NetworkReport:
    # cosyvoice.yaml is of flow and vocoder alike.
    needs = {name, "acoustics"} if name in {"flow", "vocoder"} else {name}
    if needs & missing:
        return NetworkReport(name, f"{name}: not built, files are missing")
    try:
        opener()
    except StepEditError as error:
        return NetworkReport(name, str(error))
    return NetworkReport(name)


def _check_language_model(checkpoint: Checkpoint, deep: bool) -> None:
    """Raise ReadError where the shards' tensors are not those of the network in config.json."""
    config = checkpoint.language_model_config()
    tensors = checkpoint.language_model_tensors()
    wanted = _wanted(checkpoint.language_model_folder, config)
    if config.get("quantization_config"):
        found = {_whole_name(name): None for name in tensors}
        shapes: list[str] = []  # of packed values, which say nothing here
    else:
        found = dict.fromkeys(tensors)
        shapes = [
            f"{name} {tensors[name].shape}, wanted {wanted[name]}"
            for name in sorted(wanted.keys() & tensors.keys())
            if tensors[name].shape != wanted[name]
        ]
    problems = {
        "missing": sorted(wanted.keys() - found.keys()),
        "not expected": sorted(found.keys() - wanted.keys()),
        "of another shape": shapes,
    }
    told = [_listed(what, names) for what, names in problems.items() if names]
    if told:
        raise ReadError.of(
            checkpoint.language_model_folder,
            "; ".join(told),
            remedy="Is it another model? " + FETCH,
        )
    if deep:
        _check_finite(checkpoint.language_model_folder)


def _check_server(networks: Networks) -> None:
    """Have the server write one group, which takes all that is asked of it."""
    from stepedit_fx.engines.step_audio.generation import Request

    networks.writer.answer([Request((BOS_ID, BEGIN_OF_TURN_ID), max_groups=1, seed=0)])


def _wanted(folder: Path, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors of a network of these sizes, built without memory."""
    import torch

    from stepedit_fx.engines.step_audio.configuration import Step1Config
    from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM

    own = {k: v for k, v in config.items() if k not in {"auto_map", "quantization_config"}}
    try:
        with torch.device("meta"):
            network = Step1ForCausalLM(Step1Config(**own))
    except (StepEditError, ValueError, TypeError, RuntimeError) as error:
        raise ReadError.of(
            folder / "config.json", f"describes no step1 network: {error}", remedy=FETCH
        ) from error
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _whole_name(name: str) -> str:
    end = next((end for end in _QUANTIZED_ENDS if name.endswith(end)), "")
    return f"{name.removesuffix(end)}.weight" if end else name


def _check_finite(folder: Path) -> None:
    import torch
    from safetensors import safe_open

    for path in shard_paths(folder):
        with safe_open(path, framework="pt") as shard:
            for name in shard.keys():  # noqa: SIM118 - it is no mapping
                tensor = shard.get_tensor(name)
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    cause = f"tensor {name} holds NaN or infinity"
                    raise ReadError.of(path, cause, remedy="Fetch the file again.")


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{len(names)} tensors {what}: {', '.join(names[:MAX_NAMED])}{more}"
