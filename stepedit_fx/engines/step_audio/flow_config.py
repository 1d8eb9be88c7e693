"""What `cosyvoice.yaml` says of the flow, and whether the tensors agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stepedit_fx.engines.step_audio.dit import EstimatorSizes
from stepedit_fx.engines.step_audio.flow_encoder import EncoderSizes
from stepedit_fx.engines.step_audio.vocabulary import FLOW_ROWS
from stepedit_fx.errors import ReadError

GUIDANCE = 0.7  # where the config has none, as published
INPUTS = 4  # of the estimator, each as wide as the mel: noisy mel, mu, speaker, condition

# The encoder is built this way only; a config that says something else is of another model.
_ENCODER_KIND = {
    "input_layer": "linear",
    "pos_enc_layer_type": "rel_pos_espnet",
    "selfattention_layer_type": "rel_selfattn",
    "normalize_before": True,
    "activation_type": "swish",
}


def check_config(
    config: Mapping[str, Any], encoder: EncoderSizes, estimator: EstimatorSizes, source: str
) -> None:
    """Raises ReadError where the config says something else than the tensors do."""
    found: dict[str, dict[str, object]] = {
        "encoder": {
            **_ENCODER_KIND,
            "num_blocks": encoder.layers,
            "num_up_blocks": encoder.up_layers,
            "attention_heads": encoder.heads,
            "pre_lookahead_len": encoder.look_ahead,
            "up_stride": encoder.upsampling,
            "up_scale_factor": encoder.upsampling,
            "key_bias": encoder.key_bias,
        },
        "estimator": {
            "depth": estimator.depth,
            "num_heads": estimator.heads,
            "head_dim": estimator.head_size,
        },
    }
    decoder = _part(config, "decoder")
    parts = {"encoder": _part(config, "encoder"), "estimator": _part(decoder, "estimator")}
    for part, values in found.items():
        for name, value in values.items():
            said = parts[part].get(name, value)
            if said != value:
                raise ReadError.of(
                    source,
                    f"the config says {name} {said!r} for the flow's {part}, the network has "
                    f"{value!r}",
                    remedy="Are cosyvoice.yaml and flow.pt of one model?",
                )


def check_tensors(rows: int, estimator: EstimatorSizes, source: str) -> None:
    """Raises ReadError where tensors that fit each other are still of another model."""
    problem = ""
    if rows != FLOW_ROWS:
        problem = f"the embedding has {rows} rows, the two codebooks and their padding {FLOW_ROWS}"
    elif estimator.inputs != INPUTS * estimator.outputs:
        problem = (
            f"the estimator takes {estimator.inputs} numbers a frame and gives "
            f"{estimator.outputs}: it must take {INPUTS} times as many as it gives"
        )
    if problem:
        raise ReadError.of(source, problem, remedy="Is it another model's flow?")


def guidance(config: Mapping[str, Any], source: str) -> float:
    """The guidance rate, which stands at the decoder or among its parameters.

    Raises ReadError when it is no number from 0 up.
    """
    decoder = _part(config, "decoder")
    parameters = _part(decoder, "cfm_params")
    said = {**_part(parameters, "content"), **parameters, **decoder}
    rate = said.get("inference_cfg_rate", GUIDANCE)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < math.inf:
        raise ReadError.of(
            source, f"the config's inference_cfg_rate must be a number, got {rate!r}"
        )
    return float(rate)


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = config.get(name)
    return part if isinstance(part, Mapping) else {}
