"""The language model "step1" as a transformers model that is ours, so that no remote code runs.

Llama without rotary positions: attention carries a sqrt-ALiBi bias (`lm_attention`). Names of the
parameters are those of the published checkpoint. ``from_pretrained``, device maps, bitsandbytes,
compressed-tensors (AWQ), PEFT and trl work as for any transformers model.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel

from stepedit_fx.engines.step_audio.configuration import Step1Config
from stepedit_fx.engines.step_audio.lm_attention import (
    FlexAttention,
    attend,
    attention_bias,
    flex_pays,
    queries_at_once,
)
from stepedit_fx.errors import RequestError

# How a layer learns which keys a query sees: the bias itself, or a kernel that computes it.
Seen = Tensor | FlexAttention


class Step1RMSNorm(nn.Module):
    """Root-mean-square norm, the variance in float32. (..., width) in and out."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normed = F.rms_norm(x.float(), x.shape[-1:], eps=self.eps)
        return self.weight * normed.to(x.dtype)


class Step1MLP(nn.Module):
    """SwiGLU. (B, T, hidden) in and out."""

    def __init__(self, config: Step1Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Step1Attention(nn.Module):
    """Grouped-query attention. (B, T, hidden) in and out."""

    def __init__(self, config: Step1Config, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_size = config.head_size
        queries = config.num_attention_heads * self.head_size
        keys = config.num_attention_groups * self.head_size
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=False)

    def forward(self, x: Tensor, seen: Seen, past_key_values: Cache | None) -> Tensor:
        query, key, value = (
            project(x).unflatten(-1, (-1, self.head_size)).transpose(1, 2)  # (B, H or G, T, D)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer)
        if isinstance(seen, FlexAttention):
            mixed = seen(query, key, value)
        else:
            mixed = attend(query, key, value, seen)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))  # (B, T, H * D)
        return out


class Step1DecoderLayer(GradientCheckpointingLayer):  # type: ignore[no-untyped-call]
    """Attention, then SwiGLU, each on the norm of its input and added to it."""

    def __init__(self, config: Step1Config, layer: int) -> None:
        super().__init__()
        self.self_attn = Step1Attention(config, layer)
        self.mlp = Step1MLP(config)
        self.input_layernorm = Step1RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = Step1RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, seen: Seen, past_key_values: Cache | None = None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), seen, past_key_values)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Step1PreTrainedModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """What transformers asks of a family of models."""

    config_class = Step1Config
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["Step1DecoderLayer"]  # noqa: RUF012  # transformers declares a plain list
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_flex_attn = True

    def tie_weights(self, *_args: Any, **_kwargs: Any) -> None:
        """Nothing is tied, whatever a config or a version of transformers says."""


class Step1Model(Step1PreTrainedModel):  # type: ignore[no-untyped-call]
    """Ids to the last layer's normed output."""

    def __init__(self, config: Step1Config) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Step1DecoderLayer(config, layer) for layer in range(config.num_hidden_layers)
        )
        self.norm = Step1RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Run the layers on (B, T) ids or (B, T, hidden) embeddings that follow the cache.

        attention_mask: (B, cached + T), 0 where padding stands, on whichever side.
        Without gradients a long prompt goes through in pieces, so that its bias stays small.
        Raises RequestError for packed sequences and for masks of another form.
        """
        _refuse_what_has_no_meaning(attention_mask, kwargs.get("position_ids"))
        x: Tensor = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        valid = None if attention_mask is None else attention_mask.to(torch.bool)
        keep_states = (
            self.config.output_hidden_states
            if output_hidden_states is None
            else output_hidden_states
        )
        whole = torch.is_grad_enabled() or keep_states or self._flexes(x)
        step = x.shape[1] if whole else self._queries_at_once(x, past)
        wanted = self.config.use_cache if use_cache is None else use_cache
        if self.gradient_checkpointing and self.training:
            wanted = False  # the layers run again on the way back and would cache twice
        cache = past_key_values
        if cache is None and (wanted or step < x.shape[1]):
            cache = DynamicCache()

        states: list[Tensor] | None = [] if keep_states else None
        pieces = []
        for start in range(0, x.shape[1], step):
            piece = x[:, start : start + step]
            seen = self._seen(piece, past, valid)
            pieces.append(self._through_layers(piece, seen, cache, states))
            past += piece.shape[1]
        out = torch.cat(pieces, dim=1) if len(pieces) > 1 else pieces[0]
        return BaseModelOutputWithPast(
            last_hidden_state=out,
            past_key_values=cache if wanted else None,
            hidden_states=None if states is None else (*states, out),
        )

    def _through_layers(
        self, x: Tensor, seen: Seen, cache: Cache | None, states: list[Tensor] | None
    ) -> Tensor:
        for layer in self.layers:
            if states is not None:
                states.append(x)
            x = layer(x, seen, past_key_values=cache)
        out: Tensor = self.norm(x)
        return out

    def _seen(self, x: Tensor, past: int, valid: Tensor | None) -> Seen:
        heads = self.config.num_attention_heads
        if self._flexes(x):
            return FlexAttention(heads, past, x.shape[1], valid, x.device)
        return attention_bias(heads, past, x.shape[1], valid, like=x)

    def _queries_at_once(self, x: Tensor, past: int) -> int:
        batch, new, _ = x.shape
        return queries_at_once(batch, self.config.num_attention_heads, past + new, x.device)

    def _flexes(self, x: Tensor) -> bool:
        """FlexAttention is for those who ask: it compiles for half a minute on first use."""
        return (
            self.config._attn_implementation == "flex_attention"
            and not torch.is_grad_enabled()
            # spread over devices, each layer wants its bias where it is
            and self.embed_tokens.weight.device == self.norm.weight.device
            and flex_pays(x.device, x.shape[1])
        )


class Step1ForCausalLM(Step1PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """The language model: logits of the next id. ``lm_head`` has its own weights."""

    def __init__(self, config: Step1Config) -> None:
        super().__init__(config)
        self.model = Step1Model(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T or the kept ones, vocabulary), and the loss where labels are given.

        labels: (B, T) ids, -100 where none counts; each is compared with the logits before it.
        logits_to_keep: the last so many places, or their indices; 0 keeps all.
        The rest, and what is raised, as `Step1Model.forward`.
        """
        out = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            position_ids=kwargs.pop("position_ids", None),
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(out.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=out.past_key_values,
            hidden_states=out.hidden_states,
        )


def _refuse_what_has_no_meaning(mask: Tensor | None, position_ids: Tensor | None) -> None:
    if mask is not None and mask.ndim != 2:
        raise RequestError(
            f"the attention mask must be (batch, length), got {tuple(mask.shape)}",
            remedy="Mark padding with 0 and the rest with 1.",
        )
    # Trainers pack several texts into one row and count each from 0; here all would see all.
    if position_ids is not None and bool((position_ids.diff(dim=-1) < 0).any()):
        raise RequestError(
            "step1 has no absolute positions, so a row cannot hold several packed texts",
            remedy="Train with packing=False and padding_free=False.",
        )


def register() -> None:
    """Make AutoConfig and the AutoModels build step1 from here; a second call changes nothing."""
    AutoConfig.register(Step1Config.model_type, Step1Config, exist_ok=True)
    AutoModel.register(Step1Config, Step1Model, exist_ok=True)
    AutoModelForCausalLM.register(Step1Config, Step1ForCausalLM, exist_ok=True)


register()
