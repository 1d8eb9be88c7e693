"""What a server says of the model that it serves, and what it is asked to write.

Source: vLLM's OpenAI-compatible server, ``/v1/models`` and ``/v1/completions`` with its own fields:
``allowed_token_ids``, ``min_tokens``, ``stop_token_ids``, ``return_token_ids`` (from 0.10.2 on).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from stepedit_fx.engines.step_audio.generation import MOST_IDS
from stepedit_fx.engines.step_audio.remote_call import Call, NotServed, Server
from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.vocabulary import END_OF_TURN_ID
from stepedit_fx.errors import EngineError, RequestError

MOST_NAMED = 12


@dataclass(frozen=True)
class Served:
    """A model as its server tells of it. root: what it was loaded from. places: ids it takes."""

    id: str
    root: str
    places: int


@dataclass(frozen=True)
class Wish:
    """One completion. allowed: ids that may come. least: ids before the end of turn may come."""

    prompt: Sequence[int]
    allowed: Sequence[int]
    most: int
    least: int
    seed: int
    sampling: Sampling


@dataclass(frozen=True)
class Piece:
    """Some ids of a completion. end: why it ended, as the server says it; "" while it goes on."""

    ids: Sequence[int]
    end: str


def fingerprint(settings: RemoteModel) -> str:
    """What can be known of a remote model: where it is, its name there, what it was loaded from.

    Raises EngineError, RequestError where the server does not tell.
    """
    found = served(Server(settings), Call())
    return f"{found.id} of {found.root or 'an unknown place'} at {settings.base_url}"


def served(server: Server, call: Call) -> Served:
    """The model that the settings mean. Raises RequestError for one that is not served."""
    try:
        told = server.get("/models", call)
    except NotServed as error:
        raise server.odd("no list of models (404)") from error
    entries = told.get("data") if isinstance(told, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise server.odd("no list of models")
    models = {str(entry["id"]): entry for entry in entries if entry.get("id")}
    wanted = server.settings.model or next(iter(models), "")
    if wanted not in models or (not server.settings.model and len(models) > 1):
        asked = f"no model '{wanted}'" if server.settings.model else "not one model alone"
        named = ", ".join(sorted(models)[:MOST_NAMED]) or "none"
        raise RequestError(
            f"{server.url} serves {asked}",
            remedy=f"The engine's lm.model may be: {named}.",
        )
    entry = models[wanted]
    places = entry.get("max_model_len")
    known = isinstance(places, int) and places > 0
    return Served(
        wanted, str(entry.get("root") or ""), min(places, MOST_IDS) if known else MOST_IDS
    )


def pieces(server: Server, model: str, wish: Wish, call: Call) -> Generator[Piece, None, None]:
    """What the model writes, as it comes; the last piece says why it ended.

    Raises CutOff where the stream ends before that, EngineError for what is no answer, and as
    `Server.stream`.
    """
    body = _body(model, wish)
    has_ids = False
    with closing(server.stream("/completions", body, call)) as events:
        for event in events:
            choices = event.get("choices") if isinstance(event, dict) else None
            if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
                raise server.odd("no choices")
            for choice in choices:  # none: it tells how many ids there were
                piece = _piece(server, choice, has_ids)
                has_ids = has_ids or bool(piece.ids)
                yield piece


def _piece(server: Server, choice: dict[str, Any], has_ids: bool) -> Piece:
    ids, end = choice.get("token_ids"), choice.get("finish_reason") or ""
    if ids is None and end and has_ids:
        ids = []
    if ids is None:
        raise EngineError(
            f"{server.url} gives text and no ids",
            remedy="It has to know return_token_ids, as vLLM does from 0.10.2 on.",
        )
    if not isinstance(ids, list) or not all(type(id_) is int and id_ >= 0 for id_ in ids):
        raise server.odd("ids that are no numbers")
    return Piece(ids, str(end))


def _body(model: str, wish: Wish) -> dict[str, Any]:
    """Everything is said, since a server has defaults of its own (generation_config.json)."""
    sampling = wish.sampling
    return {
        "model": model,
        "prompt": [int(id_) for id_ in wish.prompt],
        "max_tokens": wish.most,
        "min_tokens": wish.least,
        "allowed_token_ids": list(wish.allowed),
        "stop_token_ids": [END_OF_TURN_ID],
        "return_token_ids": True,
        "skip_special_tokens": False,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": wish.seed,
        "n": 1,
        "stream": True,
    }
