"""Where a language model is that does not run here, as a graph says it."""

from __future__ import annotations

import os
import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from stepedit_fx.errors import RequestError

USUAL_PATH = "/v1"  # of the OpenAI-compatible interface, where a URL names none


class RemoteModel(BaseModel):
    """``lm:`` in the engine's settings: a server that speaks OpenAI's completions, as vLLM does.

    base_url: up to and with ``/v1``. model: as the server calls it; may be left out where it
    serves one. key_variable: the environment variable that holds the server's key, if it wants
    one; the key itself stands nowhere. timeout_s: how long the server may say nothing.
    """

    # A key written in the wrong place must not come back in an error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    kind: Literal["openai"] = "openai"
    base_url: str
    model: str = ""
    key_variable: str = "OPENAI_API_KEY"
    timeout_s: float = Field(120.0, gt=0, le=3600)

    @classmethod
    def of(cls, base_url: str, model: str = "") -> RemoteModel:
        """From what somebody typed. Raises RequestError for what is no such URL."""
        try:
            return cls(base_url=base_url, model=model)
        except ValidationError as error:
            told = error.errors(include_url=False, include_input=False)[0]
            raise RequestError(str(told["ctx"]["error"])) from None

    @field_validator("base_url")
    @classmethod
    def _checked_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError:
            raise ValueError("lm.base_url is no URL, as http://localhost:8000/v1") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
            raise ValueError("lm.base_url must be http or https, as http://localhost:8000/v1")
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "lm.base_url must hold no name or password: put the key in an environment variable"
            )
        if parts.query or parts.fragment or not re.fullmatch(r"[\x21-\x7e]+", url.strip()):
            raise ValueError("lm.base_url must end with its path, as http://localhost:8000/v1")
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or USUAL_PATH}"

    @field_validator("key_variable")
    @classmethod
    def _checked_variable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("lm.key_variable must be the name of an environment variable")
        return name

    def key(self) -> str:
        """The server's key, "" for none. Raises RequestError for one that no server can have."""
        found = os.environ.get(self.key_variable, "").strip()
        if not re.fullmatch(r"[\x21-\x7e]*", found):
            raise RequestError(
                f"${self.key_variable} holds no key: it has blanks or other odd characters in it",
                remedy="Set it to the key alone.",
            )
        return found
