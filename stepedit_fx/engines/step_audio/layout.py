"""Where the published files lie, and finding them.

Source: the two repositories of the published checkpoint, as listed by their host.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stepedit_fx.errors import ReadError

ENVIRONMENT = "STEPEDIT_MODELS"
FETCH = "`stepedit-fx models fetch` gets what is missing, and goes on where it stopped."

EDITX = "Step-Audio-EditX"
EDITX_AWQ = "Step-Audio-EditX-AWQ-4bit"
TOKENIZER = "Step-Audio-Tokenizer"
ACOUSTIC = "CosyVoice-300M-25Hz"
PARAFORMER = "dengcunqin/speech_paraformer-large_asr_nat-zh-cantonese-en-16k-vocab8501-online"

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"  # of the AWQ repository, which has one shard and no index

Part = Literal[
    "language model", "text tokenizer", "acoustics", "flow", "vocoder", "speaker",
    "linguistic", "semantic",
]  # fmt: skip


@dataclass(frozen=True)
class PublishedFile:
    """One file that we read. path: in its repository. needed: nothing runs without it."""

    path: str
    part: Part
    holds: str
    needed: bool = True


LANGUAGE_MODEL_FILES = (
    PublishedFile("config.json", "language model", "its sizes"),
    PublishedFile("generation_config.json", "language model", "not used", needed=False),
    PublishedFile(INDEX, "language model", "which shard holds which tensor", needed=False),
    # The shards themselves are what the index names: see `shards`.
)
TEXT_FILES = (
    PublishedFile("tokenizer.model", "text tokenizer", "SentencePiece model"),
    PublishedFile("tokenizer_config.json", "text tokenizer", "not used", needed=False),
)
ACOUSTIC_FILES = (
    PublishedFile(f"{ACOUSTIC}/cosyvoice.yaml", "acoustics", "sizes of flow and vocoder"),
    PublishedFile(f"{ACOUSTIC}/flow.pt", "flow", "codes to mel"),
    PublishedFile(f"{ACOUSTIC}/hift.pt", "vocoder", "mel to sound"),
    PublishedFile(f"{ACOUSTIC}/campplus.onnx", "speaker", "voice to 192 numbers"),
)
TOKENIZER_FILES = (
    PublishedFile("linguistic_tokenizer.npy", "linguistic", "codebook"),
    PublishedFile(f"{PARAFORMER}/model.pt", "linguistic", "encoder"),
    PublishedFile(f"{PARAFORMER}/config.yaml", "linguistic", "the encoder's sizes"),
    PublishedFile(f"{PARAFORMER}/am.mvn", "linguistic", "feature mean and variance"),
    PublishedFile("speech_tokenizer_v1.onnx", "semantic", "sound to codes"),
)
EDITX_FILES = (*LANGUAGE_MODEL_FILES, *TEXT_FILES, *ACOUSTIC_FILES)


@dataclass(frozen=True)
class Folders:
    """Where each group of files lies; the last two may be another folder than the first.

    language_model: of ``config.json`` and the shards. text: of ``tokenizer.model``. acoustic:
    the one that holds ``CosyVoice-300M-25Hz``. tokenizer: of the two speech tokenizers.
    lm_elsewhere: a server has the language model, and none of its files need be here.
    """

    language_model: Path
    text: Path
    acoustic: Path
    tokenizer: Path
    lm_elsewhere: bool = False

    def files(self) -> Iterator[tuple[Path, PublishedFile]]:
        """Every published file with its path here, whether it is there or not."""
        groups = (
            (self.language_model, () if self.lm_elsewhere else LANGUAGE_MODEL_FILES),
            (self.text, TEXT_FILES),
            (self.acoustic, ACOUSTIC_FILES),
            (self.tokenizer, TOKENIZER_FILES),
        )
        for folder, files in groups:
            yield from ((folder / file.path, file) for file in files)

    def missing(self) -> list[Path]:
        """The needed files that are not there; a shard only where no index names the shards."""
        gone = [path for path, file in self.files() if file.needed and not path.is_file()]
        weights = (self.language_model / INDEX, self.language_model / SINGLE)
        complete = self.lm_elsewhere or any(path.is_file() for path in weights)
        return gone if complete else [*gone, weights[0]]


def default_folder() -> Path:
    """$STEPEDIT_MODELS, else a folder of the user's own data."""
    named = os.environ.get(ENVIRONMENT, "")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("stepedit_fx", appauthor=False) / "models"


def find_models(path: Path | str | None = None, *, lm_elsewhere: bool = False) -> Folders:
    """The folders of a checkpoint, all of whose needed files are there.

    path: the folder that holds Step-Audio-EditX and Step-Audio-Tokenizer, or Step-Audio-EditX (or
    its AWQ form) itself with the tokenizer beside it; None for `default_folder`. lm_elsewhere: the
    language model is not looked for. Raises ReadError that lists what is missing.
    """
    folders = locate(path, lm_elsewhere=lm_elsewhere)
    missing = folders.missing()
    if missing:
        root = default_folder() if path is None else Path(path).expanduser()
        shown = "".join(f"\n  {file}" for file in missing)
        raise ReadError.of(root, f"the model is not complete; missing:{shown}\n", remedy=FETCH)
    return folders


def locate(path: Path | str | None = None, *, lm_elsewhere: bool = False) -> Folders:
    """The folders of a checkpoint, complete or not. Raises ReadError where there is no folder."""
    root = default_folder() if path is None else Path(path).expanduser().absolute()
    if not root.is_dir():
        where = "is a file" if root.exists() else "there is no such folder"
        raise ReadError.of(
            root,
            where,
            remedy=f"{FETCH} Name the folder, or set {ENVIRONMENT}.",
        )
    pointed_at = (root / "config.json").is_file() or (root / ACOUSTIC).is_dir()
    models = root.parent if pointed_at else root
    plain = models / EDITX
    chosen = root if pointed_at else _first(plain, models / EDITX_AWQ, holding="config.json")
    return Folders(
        language_model=chosen,
        text=_first(chosen, plain, holding="tokenizer.model"),
        acoustic=_first(chosen, plain, holding=ACOUSTIC),
        tokenizer=models / TOKENIZER,
        lm_elsewhere=lm_elsewhere,
    )


def _first(*folders: Path, holding: str) -> Path:
    return next((folder for folder in folders if (folder / holding).exists()), folders[0])
