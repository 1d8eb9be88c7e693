"""The networks of a checkpoint, each loaded once, when it is first needed, onto one device."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from stepedit_fx.engines.step_audio.checkpoint import Checkpoint
from stepedit_fx.engines.step_audio.vocabulary import GROUP, GROUPS_PER_SECOND
from stepedit_fx.errors import EngineError

if TYPE_CHECKING:
    import torch

    from stepedit_fx.engines.step_audio.flow import Flow
    from stepedit_fx.engines.step_audio.linguistic import LinguisticTokenizer
    from stepedit_fx.engines.step_audio.semantic import SemanticTokenizer
    from stepedit_fx.engines.step_audio.speaker import SpeakerEncoder
    from stepedit_fx.engines.step_audio.text import TextTokenizer
    from stepedit_fx.engines.step_audio.vocoder import Vocoder

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
TIMED_STEPS = 3


@dataclass(frozen=True)
class Precision:
    """Where and in which numbers the networks run; as in the engine's settings."""

    device: str = "auto"
    dtype: str = "auto"
    quantization: str = "none"


class Networks:
    """All that a checkpoint holds, ready to run.

    The language model runs in the chosen number format. The tokenizers, the flow and the vocoder
    are small beside it and run in float32, in which they were published.
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision) -> None:
        self.checkpoint = checkpoint
        self.precision = precision

    @cached_property
    def device(self) -> torch.device:
        """Raises RequestError for a device that is not there."""
        from stepedit_fx.engines.step_audio.devices import choose_device

        device = choose_device(self.precision.device)
        if device.type == "cuda":
            import torch

            # Convolutions of the flow and the vocoder are float32 to the last bits, as published.
            torch.backends.cudnn.allow_tf32 = False
        return device

    @cached_property
    def dtype(self) -> torch.dtype:
        """Of the language model. Raises RequestError for one the device cannot do."""
        from stepedit_fx.engines.step_audio.devices import choose_dtype
        from stepedit_fx.engines.step_audio.memory import LanguageModelSize

        size = LanguageModelSize.of(self.checkpoint.language_model_config())
        return choose_dtype(self.precision.dtype, self.device, size=size)

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @cached_property
    def text(self) -> TextTokenizer:
        from stepedit_fx.engines.step_audio.text import TextTokenizer

        return TextTokenizer(self.checkpoint.text_tokenizer_path)

    @cached_property
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

    @cached_property
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

    @cached_property
    def semantic(self) -> SemanticTokenizer:
        from stepedit_fx.engines.step_audio.semantic import SemanticTokenizer

        return SemanticTokenizer(self.checkpoint.semantic_path, self.device)

    @cached_property
    def speaker(self) -> SpeakerEncoder:
        from stepedit_fx.engines.step_audio.speaker import SpeakerEncoder

        return SpeakerEncoder(self.checkpoint.speaker_path, self.device)

    @cached_property
    def flow(self) -> Flow:
        from stepedit_fx.engines.step_audio.flow import Flow

        found = self.checkpoint
        config = found.acoustic_config()["flow"]
        return Flow.from_state(
            found.flow_state(), config, source=str(found.flow_path), device=self.device
        )

    @cached_property
    def vocoder(self) -> Vocoder:
        from stepedit_fx.engines.step_audio.vocoder import open_vocoder

        found = self.checkpoint
        return open_vocoder(
            found.vocoder_state(),
            found.acoustic_config(),
            source=str(found.vocoder_path),
            device=self.device,
        )


def in_batches(
    networks: Networks,
    items: Sequence[Item],
    most: int,
    work: Callable[[Sequence[Item]], list[Result]],
    what: str,
) -> list[Result]:
    """Work done on batches of at most `most` items; smaller ones where memory runs out.

    Raises EngineError, saying what would fit, where not even one item does.
    """
    done: list[Result] = []
    size = most
    while len(done) < len(items):
        batch = items[len(done) : len(done) + size]
        try:
            done += work(batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise _out_of_memory(networks, what) from error
            size = len(batch) // 2
            logger.info("out of memory: %s goes on %d at a time", what, size)
            _empty_cache(networks)
    return done


def is_out_of_memory(error: Exception) -> bool:
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


def _out_of_memory(networks: Networks, what: str) -> EngineError:
    from stepedit_fx.engines.step_audio.devices import what_fits

    return EngineError(
        f"out of memory on {networks.device} in {what}",
        remedy=what_fits(networks.device, networks.dtype),
    )


class _naming_memory:  # noqa: N801 - reads as a word after `with`
    """Turns running out of memory into an error that says what would fit."""

    def __init__(self, networks: Networks, what: str) -> None:
        self.networks, self.what = networks, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and is_out_of_memory(error):
            raise _out_of_memory(self.networks, self.what) from error


def _empty_cache(networks: Networks) -> None:
    import torch

    if networks.device.type == "cuda":
        torch.cuda.empty_cache()


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
