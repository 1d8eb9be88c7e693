"""Step-Audio-EditX, StepFun's 3B language model over audio tokens, as an engine.

A take is tokenized once. Every edit is a prompt to the language model that goes from tokens to
tokens; one decode makes sound of the last ones. Voice and pauses stay the source's throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import EngineSettings, check_offered, hearer
from stepedit_fx.engines.step_audio.checkpoint import Checkpoint
from stepedit_fx.engines.step_audio.layout import default_folder
from stepedit_fx.engines.step_audio.libraries import check_installed
from stepedit_fx.engines.step_audio.networks import Networks, Precision, loaded
from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
from stepedit_fx.engines.step_audio.takes import KIND
from stepedit_fx.errors import RequestError
from stepedit_fx.speech import Edit, Speech
from stepedit_fx.tags import EMOTIONS, SOUNDS, SPEEDS, STYLES

if TYPE_CHECKING:
    from stepedit_fx.engines.step_audio.hearing import How
    from stepedit_fx.engines.step_audio.sampling import Sampling

# Raised whenever the same weights, source and edits would give other samples.
CODE_VERSION = 4


class StepAudioSettings(EngineSettings):
    """Settings of the step-audio engine in a graph's ``engine:``.

    models: the folder with the published files; $STEPEDIT_MODELS or the user's data folder where
    it is not given. chain: whether edits go from tokens to tokens, or back to sound between two
    edits, as the reference does (each time a generation is lost). worker: auto for a process that
    owns the model and is shared by all that run here, off for this process. lm: a server that has
    the language model; without one it runs here. The rest is how the language model draws, and
    what decode starts from.
    """

    # A server's key written in the wrong place must not come back in an error.
    model_config = ConfigDict(hide_input_in_errors=True)

    kind: Literal["step-audio"] = "step-audio"
    models: Path | None = None
    device: str = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    quantization: Literal["none", "int8", "int4"] = "none"
    chain: Literal["tokens", "audio"] = "tokens"
    lm: RemoteModel | None = None
    temperature: float = Field(0.7, gt=0, le=2)
    top_k: int = Field(0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    min_p: float = Field(0.0, ge=0, lt=1)
    flow_steps: int = Field(10, ge=1, le=100)
    noise_seed: int = Field(0, ge=0, lt=2**31)
    # Where the work is done does not change what comes out, so it is told to nobody.
    worker: Literal["auto", "off"] = Field("auto", exclude=True)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.lm is not None and (self.dtype != "auto" or self.quantization != "none"):
            raise ValueError("dtype and quantization are the server's own where lm names one")
        return self

    def settled(self) -> Self:
        """See `EngineSettings.settled`: which folder of models is meant."""
        return self.model_copy(update={"models": self._folder})

    @property
    def identity(self) -> str:
        """The weights, by their hashes, and what a server tells of those that it has.

        Raises ReadError that says what is missing, EngineError where the server does not tell.
        """
        return self.weights(Checkpoint.find(self._folder, lm_elsewhere=self.lm is not None))

    def weights(self, checkpoint: Checkpoint) -> str:
        """What identifies all weights: those of a checkpoint, and the server's."""
        if self.lm is None:
            return checkpoint.fingerprint
        from stepedit_fx.engines.step_audio.remote_model import fingerprint

        return f"{checkpoint.fingerprint}; lm {fingerprint(self.lm)}"

    @property
    def _folder(self) -> Path:
        return default_folder() if self.models is None else self.models.expanduser().absolute()


class StepAudioEngine:
    """Edits speech by a language model over its tokens; several threads may use it at once.

    What they ask for at the same time is done in batches.
    """

    kind: ClassVar[str] = KIND
    Settings: ClassVar[type[EngineSettings]] = StepAudioSettings
    is_heavy: ClassVar[bool] = True
    segment_s: ClassVar[float] = 28.0
    batch: ClassVar[int] = 16

    def __init__(self, settings: StepAudioSettings | None = None) -> None:
        self.settings = settings or StepAudioSettings()
        self.loading = RLock()

    @loaded
    def checkpoint(self) -> Checkpoint:
        """The published files. Raises ReadError that says what is missing."""
        chosen = self.settings
        return Checkpoint.find(chosen.models, lm_elsewhere=chosen.lm is not None)

    @loaded
    def networks(self) -> Networks:
        """The networks, each loaded when it is first needed.

        Raises RequestError where the libraries of the extra are not installed.
        """
        check_installed()
        chosen = self.settings
        precision = Precision(chosen.device, chosen.dtype, chosen.quantization)
        return Networks(self.checkpoint, precision, chosen.lm)

    @cached_property
    def fingerprint(self) -> str:
        """Code version, weights, number format, settings and the libraries that compute."""
        left_out = {"kind", "models", "device", "dtype", "lm"}
        told = self.settings.model_dump(mode="json", exclude=left_out)
        names = (
            *("numpy", "onnxruntime", "pedalboard", "pyloudnorm"),
            *("scipy", "sentencepiece", "soxr", "torch"),
        )
        return "; ".join(
            [
                f"code {CODE_VERSION}",
                f"weights {self.settings.weights(self.checkpoint)}",
                f"dtype {self.networks.dtype_name}",
                *(f"{name} {value}" for name, value in sorted(told.items())),
                *(f"{name} {version(name)}" for name in names),
            ]
        )

    @cached_property
    def offers(self) -> Mapping[str, Sequence[str]]:
        """Everything the published weights were trained on."""
        return {
            "emotion": list(EMOTIONS),
            "style": list(STYLES),
            "speed": list(SPEEDS),
            "paralinguistic": ["", *SOUNDS],
            "denoise": [""],
            "vad": [""],
            "clone": [""],
        }

    def encode(self, takes: Sequence[Audio]) -> list[Speech]:
        """Tokenize each recording, by segments where it is long.

        Raises EngineError for a recording with nothing in it to edit.
        """
        from stepedit_fx.engines.step_audio import encoding

        return encoding.encode(self.networks, takes)

    def edit(self, takes: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        """Ask the model for each edit; a strength of 0 gives the take itself.

        Raises TagError for an edit not offered, EngineError, Cancelled.
        """
        from stepedit_fx.engines.step_audio import editing, encoding, over_time

        for edit in edits:
            check_offered(self, edit)
            if self.settings.chain == "audio" and over_time.is_over_time(edit):
                raise RequestError(
                    "an edit over time needs its segments from pass to pass",
                    remedy="Set the engine's chain to tokens.",
                )
        cut = [over_time.split(*pair) for pair in zip(takes, edits, strict=True)]
        edited = [take for take, _ in cut]
        by_segment = [own for _, own in cut]
        most = [max(editing.passes(edit) for edit in own) for own in by_segment]
        for number in range(max(most, default=0)):
            due = [i for i, passes in enumerate(most) if number < passes]
            results = self._edited_once(
                [edited[i] for i in due],
                [by_segment[i] for i in due],
                number,
                is_last=number == max(most) - 1,
            )
            if self.settings.chain == "audio":
                results = encoding.encode(self.networks, self.decode(results))
            for i, result in zip(due, results, strict=True):
                edited[i] = result
        return edited

    def _edited_once(
        self,
        takes: Sequence[Speech],
        edits: Sequence[Sequence[Edit]],
        number: int,
        *,
        is_last: bool,
    ) -> list[Speech]:
        """Takes after one pass; the last pass of a single take is heard by who wants to."""
        from stepedit_fx.engines.step_audio import editing, hearing

        hear = hearer()
        if hear is None or len(takes) != 1 or not is_last or self.settings.chain == "audio":
            return editing.edit_once(self.networks, self._sampling, takes, edits, number)
        sampling = self._sampling
        return [hearing.edit_heard(self._how, sampling, takes[0], edits[0], number, hear)]

    def clone(self, references: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        """Say the text of each edit in its reference's voice; dialect prefixes count.

        Raises RequestError for an empty text, EngineError, Cancelled.
        """
        from stepedit_fx.engines.step_audio import editing, hearing

        hear = hearer()
        if hear is not None and len(references) == 1:
            sampling = self._sampling
            return [hearing.clone_heard(self._how, sampling, references[0], edits[0], hear)]
        return editing.clone(self.networks, self._sampling, references, edits)

    def decode(self, takes: Sequence[Speech]) -> list[Audio]:
        """Speak each take's tokens and put them in the source's place; untouched parts stay."""
        from stepedit_fx.engines.step_audio import decoding

        chosen = self.settings
        return decoding.decode(
            self.networks, takes, steps=chosen.flow_steps, seed=chosen.noise_seed
        )

    def release(self) -> None:
        """Give the device's memory back; what is asked next loads the networks again."""
        if "networks" in vars(self):
            self.networks.release()

    def status(self) -> dict[str, Any]:
        """What is loaded where, and what the language model is at."""
        return {"models": str(self.checkpoint.language_model_folder), **self.networks.status()}

    @property
    def _how(self) -> How:
        """How sound is made for who listens, as decode makes it."""
        from stepedit_fx.engines.step_audio.hearing import How

        return How(self.networks, self.settings.flow_steps, self.settings.noise_seed)

    @cached_property
    def _sampling(self) -> Sampling:
        from stepedit_fx.engines.step_audio.sampling import Sampling

        chosen = self.settings
        return Sampling(
            temperature=chosen.temperature,
            top_k=chosen.top_k,
            top_p=chosen.top_p,
            min_p=chosen.min_p,
        )
