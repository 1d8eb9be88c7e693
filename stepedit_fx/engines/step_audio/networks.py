"""The networks of a checkpoint, each loaded once, when it is first needed, onto one device."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from stepedit_fx.engines.base import cancel_check, is_urgent
from stepedit_fx.engines.step_audio.checkpoint import Checkpoint
from stepedit_fx.engines.step_audio.gathering import Gathering, Stopped
from stepedit_fx.engines.step_audio.vocabulary import GROUP, GROUPS_PER_SECOND
from stepedit_fx.errors import EngineError

if TYPE_CHECKING:
    import torch

    from stepedit_fx.engines.step_audio.flow import Flow
    from stepedit_fx.engines.step_audio.linguistic import LinguisticTokenizer
    from stepedit_fx.engines.step_audio.memory import LanguageModelSize
    from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
    from stepedit_fx.engines.step_audio.semantic import SemanticTokenizer
    from stepedit_fx.engines.step_audio.speaker import SpeakerEncoder
    from stepedit_fx.engines.step_audio.text import TextTokenizer
    from stepedit_fx.engines.step_audio.vocoder import Vocoder
    from stepedit_fx.engines.step_audio.writer import Writer

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Made = TypeVar("Made")
TIMED_STEPS = 3
# However much memory there is: of more, every take would only wait longer for its next id.
MOST_ROWS = {"cuda": 64}
MOST_ROWS_ELSEWHERE = 32
LARGE = ("language_model", "linguistic", "semantic", "speaker", "flow", "vocoder")


@dataclass(frozen=True)
class Precision:
    """Where and in which numbers the networks run; as in the engine's settings."""

    device: str = "auto"
    dtype: str = "auto"
    quantization: str = "none"


class loaded(cached_property[Made]):  # noqa: N801 - reads as what it decorates
    """What takes long to have, made by the first thread that needs it while others wait.

    Its owner has a lock named `loading`.
    """

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with instance.loading:
            return super().__get__(instance, owner)


class Networks:
    """All that a checkpoint holds, ready to run; several threads may use it at once.

    The language model runs in the chosen number format. The tokenizers, the flow and the vocoder
    are small beside it and run in float32, in which they were published.
    lm: a server that has the language model, which is then not loaded here.
    """

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision, lm: RemoteModel | None = None
    ) -> None:
        self.checkpoint = checkpoint
        self.precision = precision
        self.lm = lm
        self.loading = threading.RLock()
        self._gathering = threading.Lock()
        self._gatherings: dict[str, Gathering[Any, Any]] = {}

    @loaded
    def device(self) -> torch.device:
        """Raises RequestError for a device that is not there."""
        import torch

        from stepedit_fx.engines.step_audio.devices import choose_device
        from stepedit_fx.engines.step_audio.memory import usable_cores

        device = choose_device(self.precision.device)
        if device.type == "cpu" and usable_cores() < torch.get_num_threads():
            # torch counts the machine's cores, of which a container may have few.
            torch.set_num_threads(usable_cores())
        if device.type == "cuda":
            # Convolutions of the flow and the vocoder are float32 to the last bits, as published.
            torch.backends.cudnn.allow_tf32 = False
        return device

    @loaded
    def size(self) -> LanguageModelSize:
        """Of the language model."""
        from stepedit_fx.engines.step_audio.memory import LanguageModelSize

        return LanguageModelSize.of(self.checkpoint.language_model_config())

    @loaded
    def dtype(self) -> torch.dtype:
        """Of the language model. Raises RequestError for one the device cannot do."""
        from stepedit_fx.engines.step_audio.devices import choose_dtype

        return choose_dtype(self.precision.dtype, self.device, size=self.size)

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.") if self.lm is None else "elsewhere"

    @loaded
    def text(self) -> TextTokenizer:
        from stepedit_fx.engines.step_audio.text import TextTokenizer

        return TextTokenizer(self.checkpoint.text_tokenizer_path)

    @loaded
    def language_model(self) -> Any:
        """A Step1ForCausalLM. Raises ReadError, and EngineError where it does not fit."""
        from stepedit_fx.engines.step_audio.lm_loading import load_language_model

        # Read first, and cheap: a foreign model or a half-downloaded shard is named by itself.
        self.checkpoint.language_model_config()
        self.checkpoint.language_model_tensors()
        with _naming_memory(self, "the language model"):
            model = load_language_model(
                self.checkpoint.language_model_folder,
                dtype=self.dtype,
                device=self.device,
                quantization=self.precision.quantization,
            )
        if self.device.type == "cpu":
            _tell_speed(model)
        return model

    @loaded
    def linguistic(self) -> LinguisticTokenizer:
        from stepedit_fx.engines.step_audio.features import read_cmvn
        from stepedit_fx.engines.step_audio.linguistic import LinguisticTokenizer, read_heads

        found = self.checkpoint
        source = str(found.linguistic_path)
        return LinguisticTokenizer.from_state(
            found.linguistic_state(),
            read_cmvn(found.cmvn_path),
            found.centroids(),
            read_heads(found.linguistic_config(), source),
            source=source,
            device=self.device,
        )

    @loaded
    def semantic(self) -> SemanticTokenizer:
        from stepedit_fx.engines.step_audio.semantic import SemanticTokenizer

        return SemanticTokenizer(self.checkpoint.semantic_path, self.device)

    @loaded
    def speaker(self) -> SpeakerEncoder:
        from stepedit_fx.engines.step_audio.speaker import SpeakerEncoder

        return SpeakerEncoder(self.checkpoint.speaker_path, self.device)

    @loaded
    def flow(self) -> Flow:
        from stepedit_fx.engines.step_audio.flow import Flow

        found = self.checkpoint
        config = found.acoustic_config()["flow"]
        return Flow.from_state(
            found.flow_state(), config, source=str(found.flow_path), device=self.device
        )

    @loaded
    def vocoder(self) -> Vocoder:
        from stepedit_fx.engines.step_audio.vocoder import open_vocoder

        found = self.checkpoint
        return open_vocoder(
            found.vocoder_state(),
            found.acoustic_config(),
            source=str(found.vocoder_path),
            device=self.device,
        )

    @loaded
    def writer(self) -> Writer:
        """Who writes audio ids for everybody."""
        if self.lm is not None:
            from stepedit_fx.engines.step_audio.remote import RemoteWriter

            return RemoteWriter(self.lm)
        from stepedit_fx.engines.step_audio.token_service import TokenService

        return TokenService(
            lambda: self.language_model,
            self._most_rows,
            lambda error: self.out_of_memory(error, "the language model"),
        )

    def together(
        self,
        what: str,
        work: Callable[[Networks, Sequence[Item], Stopped], Sequence[Result]],
        items: Sequence[Item],
        *,
        most: int,
        size: Callable[[Item], int],
    ) -> list[Result]:
        """The work on all items, in batches of at most `most` that other threads share.

        size: bytes that an item takes at its peak; a batch takes no more than is free.
        Raises Cancelled, EngineError where the memory is too small for one, and the work's own.
        """
        with (
            self._gathering
        ):  # not `loading`: what is loaded need not wait for what is being loaded
            if what not in self._gatherings:
                self._gatherings[what] = Gathering(
                    lambda batch, stopped: work(self, batch, stopped),
                    most,
                    lambda error: self.out_of_memory(error, what),
                    size,
                    self._room,
                )
        shared: Gathering[Item, Result] = self._gatherings[what]
        return shared.run(items, is_urgent=is_urgent(), cancelled=cancel_check())

    def out_of_memory(self, error: BaseException, what: str) -> EngineError | None:
        """What to tell of an error that means too little memory, None for another."""
        if not is_out_of_memory(error):
            return None
        import torch

        from stepedit_fx.engines.step_audio.devices import what_fits

        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return EngineError(
            f"out of memory on {self.device} in {what}",
            remedy=what_fits(self.device, self.dtype if self.lm is None else None),
        )

    def release(self) -> None:
        """Give all memory back that can be had again; the next use loads anew."""
        import gc

        with self.loading:
            if "writer" in vars(self):
                self.writer.release()
            for name in LARGE:
                vars(self).pop(name, None)
        gc.collect()
        if self.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()

    def status(self) -> dict[str, Any]:
        """What is loaded where, and what the writer is at; loads nothing."""
        from stepedit_fx.engines.step_audio.devices import free_bytes

        writer = vars(self).get("writer")
        return {
            "device": str(self.device),
            "dtype": self.dtype_name,
            "quantization": self.precision.quantization,
            "loaded": [name for name in LARGE if name in vars(self)],
            "writer": writer.status() if writer is not None else {},
            "batches": {what: each.status() for what, each in list(self._gatherings.items())},
            "free_bytes": free_bytes(self.device),
        }

    def _room(self) -> int | None:
        """Bytes that a batch may take now."""
        from stepedit_fx.engines.step_audio.devices import free_bytes
        from stepedit_fx.engines.step_audio.memory import BATCH_SHARE

        free = free_bytes(self.device)
        return None if free is None else int(free * BATCH_SHARE)

    def _most_rows(self, places: int) -> int:
        """How many takes of so many ids the language model may write at once, by what is free."""
        from stepedit_fx.engines.step_audio.devices import free_bytes

        most = MOST_ROWS.get(self.device.type, MOST_ROWS_ELSEWHERE)
        free = free_bytes(self.device)
        if free is None:  # nobody knows: a batch that is too large is made smaller
            return most
        fitting: int = self.size.rows_in(free, places, value_bytes=self.dtype.itemsize)
        return min(most, fitting)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine could not give memory; torch says it in several ways."""
    import torch

    told = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and any(
            words in told  # the last one is cuBLAS's and cuDNN's
            for words in ("out of memory", "not enough memory", "can't allocate", "ALLOC_FAILED")
        )
    )


class _naming_memory:  # noqa: N801 - reads as a word after `with`
    """Turns running out of memory into an error that says what would fit."""

    def __init__(self, networks: Networks, what: str) -> None:
        self.networks, self.what = networks, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        told = self.networks.out_of_memory(error, self.what) if error is not None else None
        if told is not None:
            raise told from error


def _tell_speed(model: Any) -> None:
    """Say how long an edit takes on a machine without a GPU, from a few tokens' time."""
    import torch

    token = torch.ones((1, 1), dtype=torch.long)
    with torch.inference_mode():
        model(input_ids=token)  # the first call also reads the weights from disk
        start = time.perf_counter()
        for _ in range(TIMED_STEPS):
            model(input_ids=token)
    ratio = (time.perf_counter() - start) / TIMED_STEPS * GROUP * GROUPS_PER_SECOND
    if ratio > 1:
        logger.warning(
            "no GPU is used: an edit takes about %.1f s for each second of speech here", ratio
        )
