"""The published checkpoint as one thing: its files, their fingerprint, and what they hold.

Finding it and its fingerprint need no torch; the states and the codebook do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepedit_fx.engines.step_audio.documents import read_json, read_yaml
from stepedit_fx.engines.step_audio.hashes import sha256
from stepedit_fx.engines.step_audio.layout import ACOUSTIC, FETCH, PARAFORMER, Folders, find_models
from stepedit_fx.engines.step_audio.shards import TensorInfo, read_headers, shard_paths
from stepedit_fx.errors import ReadError
from stepedit_fx.store.keys import digest

if TYPE_CHECKING:
    from torch import Tensor

MODEL_TYPE = "step1"
ACOUSTIC_SECTIONS = ("flow", "mel_conf")  # of cosyvoice.yaml; the vocoder's has several names


@dataclass(frozen=True)
class Checkpoint:
    """A complete set of the published files, and the only way to what they hold."""

    folders: Folders

    @classmethod
    def find(cls, path: Path | str | None = None, *, lm_elsewhere: bool = False) -> Checkpoint:
        """The checkpoint in a folder; $STEPEDIT_MODELS or the user's data folder without one.

        lm_elsewhere: without its language model. Raises ReadError that lists what is missing.
        """
        return cls(find_models(path, lm_elsewhere=lm_elsewhere))

    @property
    def language_model_folder(self) -> Path:
        return self.folders.language_model

    @property
    def text_tokenizer_path(self) -> Path:
        return self.folders.text / "tokenizer.model"

    @property
    def config_path(self) -> Path:
        return self.folders.acoustic / ACOUSTIC / "cosyvoice.yaml"

    @property
    def flow_path(self) -> Path:
        return self.folders.acoustic / ACOUSTIC / "flow.pt"

    @property
    def vocoder_path(self) -> Path:
        return self.folders.acoustic / ACOUSTIC / "hift.pt"

    @property
    def speaker_path(self) -> Path:
        return self.folders.acoustic / ACOUSTIC / "campplus.onnx"

    @property
    def semantic_path(self) -> Path:
        return self.folders.tokenizer / "speech_tokenizer_v1.onnx"

    @property
    def centroids_path(self) -> Path:
        return self.folders.tokenizer / "linguistic_tokenizer.npy"

    @property
    def linguistic_path(self) -> Path:
        return self.folders.tokenizer / PARAFORMER / "model.pt"

    @property
    def cmvn_path(self) -> Path:
        return self.folders.tokenizer / PARAFORMER / "am.mvn"

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the bytes of every file that has a part in a result, in hex.

        Reading 9 GB takes seconds, so hashes are remembered; see `hashes`. Raises ReadError.
        """
        files = {file.path: path for path, file in self.folders.files() if file.needed}
        if not self.folders.lm_elsewhere:
            files |= {path.name: path for path in shard_paths(self.language_model_folder)}
        return digest({name: sha256(path) for name, path in files.items()})

    def language_model_config(self) -> dict[str, Any]:
        """What config.json says. Raises ReadError for a model of another type."""
        path = self.language_model_folder / "config.json"
        config = read_json(path)
        found = config.get("model_type")
        if found != MODEL_TYPE:
            raise ReadError.of(
                path,
                f"this is a model of type {found!r}, not {MODEL_TYPE!r}",
                remedy="Name a folder that holds Step-Audio-EditX. " + FETCH,
            )
        return config

    def language_model_tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor of the language model by name, from the shards' headers alone.

        Raises ReadError that names a shard which is missing, half downloaded or damaged.
        """
        return read_headers(self.language_model_folder)

    def acoustic_config(self) -> dict[str, Any]:
        """cosyvoice.yaml as plain data. Raises ReadError where a section is not there."""
        config = read_yaml(self.config_path)
        for name in ACOUSTIC_SECTIONS:
            if not isinstance(config.get(name), dict):
                raise ReadError.of(self.config_path, f"has no section {name}", remedy=FETCH)
        return config

    def flow_state(self) -> dict[str, Tensor]:
        """The tensors of flow.pt. Raises ReadError."""
        return self._state(self.flow_path)

    def vocoder_state(self) -> dict[str, Tensor]:
        """The tensors of hift.pt. Raises ReadError."""
        return self._state(self.vocoder_path)

    def linguistic_state(self) -> dict[str, Tensor]:
        """The tensors of the Paraformer's model.pt; those under ``encoder.`` are used.

        Raises ReadError.
        """
        return self._state(self.linguistic_path)

    def linguistic_config(self) -> dict[str, Any]:
        """The Paraformer's config.yaml as plain data. Raises ReadError."""
        return read_yaml(self.folders.tokenizer / PARAFORMER / "config.yaml")

    def centroids(self) -> Tensor:
        """The linguistic codebook, (1024, width), float32. Raises ReadError."""
        import torch

        from stepedit_fx.engines.step_audio.readers import read_codebook

        return torch.from_numpy(read_codebook(self.centroids_path))

    @staticmethod
    def _state(path: Path) -> dict[str, Tensor]:
        from stepedit_fx.engines.step_audio.readers import read_pt

        return read_pt(path)
