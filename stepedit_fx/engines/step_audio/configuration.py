"""The language model's configuration, as the published ``config.json`` spells it.

transformers finds it by ``model_type``: the folder's own ``configuration_step1.py`` is never run.
"""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from stepedit_fx.engines.step_audio.vocabulary import BOS_ID, END_OF_TURN_ID
from stepedit_fx.errors import EngineError


class Step1Config(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes of a step1 language model; the defaults are those of Step-Audio-EditX.

    ``tie_word_embeddings`` is False whatever is asked or read: transformers from 4.54 on takes a
    config without the field as tied, and the model then hums or is silent.
    Raises EngineError for sizes that do not divide.
    """

    model_type = "step1"
    keys_to_ignore_at_inference = ("past_key_values",)
    attribute_map = {  # noqa: RUF012  # transformers declares it as a plain dict
        "num_key_value_heads": "num_attention_groups",
        "max_position_embeddings": "max_seq_len",
    }

    def __init__(
        self,
        *,
        vocab_size: int = 74752,
        hidden_size: int = 3072,
        intermediate_size: int = 8192,
        num_attention_heads: int = 48,
        num_attention_groups: int = 4,
        num_hidden_layers: int = 32,
        rms_norm_eps: float = 1e-5,
        max_seq_len: int = 32768,
        initializer_range: float = 0.02,
        use_cache: bool = True,
        bos_token_id: int | None = BOS_ID,
        eos_token_id: int | list[int] | None = END_OF_TURN_ID,
        pad_token_id: int | None = 0,
        **others: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_attention_heads = num_attention_heads
        self.num_attention_groups = num_attention_groups
        self.num_hidden_layers = num_hidden_layers
        self.rms_norm_eps = rms_norm_eps
        self.max_seq_len = max_seq_len
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        if min(num_attention_heads, num_attention_groups) < 1 or (
            hidden_size % num_attention_heads or num_attention_heads % num_attention_groups
        ):
            raise EngineError(
                f"hidden size {hidden_size}, {num_attention_heads} query heads and "
                f"{num_attention_groups} key/value groups do not divide",
                remedy="The config.json is damaged or belongs to another model.",
            )
        others |= {
            "bos_token_id": bos_token_id,
            "eos_token_id": eos_token_id,
            "pad_token_id": pad_token_id,
            "tie_word_embeddings": False,
        }
        super().__init__(**others)

    def __setattr__(self, key: str, value: Any) -> None:
        # from_pretrained and its callers set fields afterwards too.
        asked = False if key == "tie_word_embeddings" else value
        super().__setattr__(key, asked)  # type: ignore[no-untyped-call]

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return int(self.hidden_size // self.num_attention_heads)
