"""The published files from their hub into a folder: pinned, resumable, checked byte for byte.

Only data is fetched, never the repositories' Python files. Every file's hash is compared with the
one that the hub states for the commit.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stepedit_fx.atomic import write_text
from stepedit_fx.engines.step_audio.documents import read_json
from stepedit_fx.engines.step_audio.hashes import sha256
from stepedit_fx.engines.step_audio.layout import (
    ACOUSTIC_FILES,
    EDITX,
    EDITX_AWQ,
    EDITX_FILES,
    TEXT_FILES,
    TOKENIZER,
    TOKENIZER_FILES,
    PublishedFile,
)
from stepedit_fx.engines.step_audio.libraries import check_installed
from stepedit_fx.errors import ReadError, StepEditError, WriteError

logger = logging.getLogger(__name__)

LOCK = "models.lock.json"
LOCK_VERSION = 1
SPARE_BYTES = 200 << 20  # left free on the disk beside what is fetched
AGAIN = "Run `stepedit-fx models fetch` again: it goes on where it stopped."

_OWNER = "stepfun-ai"
# The commits that this package was written against, as other projects name them too.
PINNED = {
    EDITX: "5fe2f8a05c2353301ad47d3c1747b262115da138",
    EDITX_AWQ: "a3493ca914ef0dd3c265cf589b962e6213124958",
    TOKENIZER: "af7e5a3ec06175a7facae9d4100073d6e4dbb36c",
}
_SHARD = re.compile(r"model(-\d+(-of-\d+)?)?\.safetensors")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a commit. sha256: of its bytes; "" for small ones, which have a git_id."""

    path: str
    bytes: int
    sha256: str
    git_id: str


@dataclass(frozen=True)
class Remote:
    """One commit of a repository, with the files that we read."""

    folder: str
    repository: str
    revision: str
    files: tuple[RemoteFile, ...]


def fetch_models(
    folder: Path,
    *,
    awq: bool = False,
    without_lm: bool = False,
    revision: str | None = None,
    told: Callable[[str], None] = logger.info,
) -> Path:
    """Fetch what is missing of the published files into a folder; give that folder back.

    awq: the 4-bit language model in place of the 16-bit one. without_lm: neither of them, for one
    that a server has. revision: a branch, tag or commit of
    the language model's repository; without one, what this folder's lock file has, else the
    pinned commit. told: takes a line for the user now and then.
    Raises ReadError where the hub cannot be reached or gives other bytes than it states,
    WriteError where the disk is too small or refuses, RequestError where a library is missing.
    """
    check_installed()
    locked = {name: str(entry.get("revision")) for name, entry in read_lock(folder).items()}
    editx = EDITX_AWQ if awq and not without_lm else EDITX
    files = (*TEXT_FILES, *ACOUSTIC_FILES) if without_lm else EDITX_FILES
    wanted = ((editx, files, revision), (TOKENIZER, TOKENIZER_FILES, None))
    remotes = [
        _look_up(name, files, asked or locked.get(name, PINNED[name]))
        for name, files, asked in wanted
    ]
    missing = [(r, f) for r in remotes for f in r.files if not _is_there(folder / r.folder, f)]
    _check_space(folder, missing)
    _write_lock(folder, remotes)
    for number, (remote, file) in enumerate(missing, 1):
        told(f"{number}/{len(missing)} {remote.folder}/{file.path}  {file.bytes / 1e6:,.1f} MB")
        _fetch(folder / remote.folder, remote, file)
    return folder


def _look_up(folder: str, files: Sequence[PublishedFile], revision: str) -> Remote:
    """The commit that a revision stands for, and the published files in it."""
    from huggingface_hub import HfApi

    repository = f"{_OWNER}/{folder}"
    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    except Exception as error:
        raise _refused(f"{repository} at {revision}", error) from error
    names = {file.path for file in files}
    found = [
        _remote_file(sibling)
        for sibling in info.siblings or ()
        if sibling.rfilename in names
        or (files is EDITX_FILES and _SHARD.fullmatch(sibling.rfilename))
    ]
    gone = {file.path for file in files if file.needed} - {file.path for file in found}
    weights = files is not EDITX_FILES or any(_SHARD.fullmatch(file.path) for file in found)
    if gone or not weights:
        what = ", ".join(sorted(gone)) or "weights as safetensors"
        raise ReadError.of(
            repository, f"revision {revision} has no {what}", remedy="Fetch another revision."
        )
    return Remote(folder, repository, str(info.sha), tuple(found))


def _remote_file(sibling: Any) -> RemoteFile:
    large = getattr(sibling, "lfs", None)
    stated = (
        "" if large is None else str(large["sha256"] if isinstance(large, dict) else large.sha256)
    )
    return RemoteFile(
        str(sibling.rfilename), int(sibling.size or 0), stated, str(sibling.blob_id or "")
    )


def _is_there(folder: Path, file: RemoteFile) -> bool:
    path = folder / file.path
    return path.is_file() and path.stat().st_size == file.bytes and _is_same(path, file)


def _is_same(path: Path, file: RemoteFile) -> bool:
    """Whether a file has the bytes that the hub states."""
    if file.sha256:
        return sha256(path) == file.sha256
    data = path.read_bytes()  # small: the others have a sha256
    head = f"blob {len(data)}\0".encode("ascii")
    return hashlib.sha1(head + data, usedforsecurity=False).hexdigest() == file.git_id


def _fetch(folder: Path, remote: Remote, file: RemoteFile) -> None:
    """One file, going on where an earlier attempt ended, put in place once it is whole."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    target = folder / file.path
    part = _part(target, file)
    url = hf_hub_url(remote.repository, file.path, revision=remote.revision)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as out:
            # The hub's own downloads start anew from version 2 on: 7 GB in one file need this.
            http_get(
                url,
                out,
                resume_size=out.tell(),
                headers=build_hf_headers(),
                expected_size=file.bytes,
            )
        if part.stat().st_size == file.bytes and _is_same(part, file):
            part.replace(target)
            return
    except Exception as error:
        raise _refused(f"{remote.repository}/{file.path}", error) from error
    part.unlink()
    cause = "what came is not what the hub states (size or hash)"
    raise ReadError.of(f"{remote.repository}/{file.path}", cause, remedy=AGAIN)


def _part(target: Path, file: RemoteFile) -> Path:
    """Where a file grows; named by its content, so that another revision starts anew."""
    return target.with_name(f".{target.name}.{(file.sha256 or file.git_id)[:16]}.part")


def _check_space(folder: Path, missing: Iterable[tuple[Remote, RemoteFile]]) -> None:
    needed = 0
    for remote, file in missing:
        part = _part(folder / remote.folder / file.path, file)
        needed += file.bytes - (part.stat().st_size if part.is_file() else 0)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed and needed + SPARE_BYTES > free:
        raise WriteError.of(
            folder,
            f"{needed / 1e9:.1f} GB are to be fetched, and the disk has {free / 1e9:.1f} GB free",
            remedy="Free some space, or name a folder on another disk.",
        )


def _refused(what: str, error: Exception) -> StepEditError:
    """What a failed request means; the hub's library speaks through one of three others."""
    kind = type(error).__name__
    first = str(error).strip().partition("\n")[0]
    if isinstance(error, StepEditError):
        return error
    status = getattr(getattr(error, "response", None), "status_code", None)
    if kind == "RevisionNotFoundError":
        return ReadError(f"{what}: there is no such revision", remedy="Fetch another one.")
    if kind in {"RepositoryNotFoundError", "GatedRepoError"} or status in {401, 403}:
        remedy = "Log in with `hf auth login`, or set HF_TOKEN, if a mirror of yours asks for it."
        return ReadError(f"{what}: the hub does not give it ({first})", remedy=remedy)
    if kind == "OfflineModeIsEnabled":
        remedy = "Unset HF_HUB_OFFLINE, or copy the folder from a machine that has it."
        return ReadError(f"{what}: HF_HUB_OFFLINE forbids to fetch", remedy=remedy)
    if isinstance(error, OSError) and error.errno is not None and error.filename:
        return WriteError(f"{error.filename}: {error.strerror}", remedy=AGAIN)
    if status is not None:
        return ReadError(f"{what}: the hub answers {status} ({first})", remedy=AGAIN)
    remedy = f"Check the connection. {AGAIN} Or copy the folder from a machine that has it."
    return ReadError(f"{what}: the hub cannot be reached ({first or kind})", remedy=remedy)


def read_lock(folder: Path) -> Mapping[str, Any]:
    """What the lock file of a models folder says, by folder; empty without one.

    Each has its repository, revision and files, as `Remote`. Raises ReadError if it is damaged.
    """
    path = folder / LOCK
    if not path.is_file():
        return {}
    data = read_json(path)
    found = data.get("folders")
    entries = found.values() if isinstance(found, dict) else [None]
    if data.get("version") != LOCK_VERSION or not all(isinstance(e, dict) for e in entries):
        raise ReadError.of(path, "is no lock file of this version", remedy="Remove it.")
    return dict(found or {})


def _write_lock(folder: Path, remotes: Sequence[Remote]) -> None:
    known = {**read_lock(folder), **{remote.folder: asdict(remote) for remote in remotes}}
    write_text(
        folder / LOCK, json.dumps({"version": LOCK_VERSION, "folders": known}, indent=1) + "\n"
    )
