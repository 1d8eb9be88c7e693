"""A small real HTTP server with a tiny Step1 model behind it, that speaks as vLLM does.

It misbehaves on order: `faults` are taken one by one, a completion each.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import torch

from stepedit_fx.engines.step_audio.generation import Generated, Request
from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.vocabulary import (
    AUDIO_TOKENS,
    END_OF_TURN_ID,
    FIRST_AUDIO_ID,
    GROUP,
    SLOT_RANGES,
)

GREEDY = 1e-5  # vLLM takes the likeliest below this temperature
GREEDILY = Sampling(temperature=0)
Write = Callable[[dict[str, Any]], Iterator[int]]


class LmServer(ThreadingHTTPServer):
    """write: the ids of a completion's body. Everything that was asked is in `bodies`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, write: Write) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.write = write
        self.model, self.root, self.places = "step1", "stepfun-ai/Step-Audio-EditX", 8192
        self.others: list[str] = []
        self.key = ""
        self.faults: list[str] = []
        self.ids_in_a_piece = 3
        self.raw = b""  # what comes in place of a stream
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.left = threading.Event()  # a client hung up in the middle
        self.go_on = threading.Event()  # what a silent completion waits for
        self.lock = threading.Lock()
        self.open = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def settings(self, **more: Any) -> RemoteModel:
        return RemoteModel(base_url=self.url, **more)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LmServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if not self._let_in():
            return
        if self.path != "/v1/models":
            return self._json(404, {"detail": "Not Found"})
        served = self.server
        card = {"object": "model", "owned_by": "vllm", "root": served.root}
        names = [served.model, *served.others] if served.model else served.others
        data = [{"id": name, "max_model_len": served.places, **card} for name in names]
        return self._json(200, {"object": "list", "data": data})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._let_in():
            return
        served = self.server
        with served.lock:
            served.bodies.append(body)
            served.headers.append(dict(self.headers))
            fault = served.faults.pop(0) if served.faults else ""
            served.open += 1
        try:
            self._complete(body, fault)
        except OSError:
            served.left.set()
        finally:
            with served.lock:
                served.open -= 1

    def _let_in(self) -> bool:
        key = self.server.key
        if not key or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        said = f"unknown key {self.headers.get('Authorization')}"
        self._json(401, {"error": {"message": said}})
        return False

    def _complete(self, body: dict[str, Any], fault: str) -> None:
        if fault.isdecimal():
            headers = {"Retry-After": "0"} if fault in {"429", "503"} else {}
            return self._json(int(fault), {"error": {"message": "not now"}}, headers)
        if body["model"] != self.server.model:
            return self._json(404, {"error": {"message": f"no `{body['model']}`"}})
        if fault == "page":
            return self._send(200, b"<html>hello</html>\n", "text/html", {})
        if fault == "hang up":
            return self._drop()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.server.raw:
            self._chunk(self.server.raw)
            return self._chunk(b"")
        return self._stream(body, fault)

    def _stream(self, body: dict[str, Any], fault: str) -> None:
        sent, piece = 0, []
        ids = list(self.server.write(body)) if fault != "silent" else []
        end = "stop" if ids and ids[-1] == END_OF_TURN_ID else "length"
        for number, id_ in enumerate(ids):
            piece.append(id_)
            is_last = number == len(ids) - 1
            if len(piece) < self.server.ids_in_a_piece and not is_last:
                continue
            if fault == "cut" and sent:
                return self._drop()
            if fault == "garbage" and sent:
                return self._chunk(b'data: {"choices": [{"tok\n\n')
            if fault == "failure" and sent:
                return self._event({"error": {"message": "CUDA error", "code": 500}})
            if fault == "no reason" and is_last:
                break
            choice: dict[str, Any] = {"index": 0, "text": "<audio>", "token_ids": piece}
            if fault == "text":
                del choice["token_ids"]
            if fault == "words":
                choice["token_ids"] = ["<audio_1>"]
            if fault == "keeps the end" and is_last and end == "stop":
                choice["token_ids"] = piece[:-1]
            choice["finish_reason"] = end if is_last else None
            self._event({"object": "text_completion", "choices": [choice], "usage": None})
            sent, piece = sent + len(piece), []
        if fault == "silent":
            self._event({"choices": [], "usage": None})
            self.server.go_on.wait(60)
        self._chunk(b": a comment\n\ndata: [DONE]\n\n")
        return self._chunk(b"")

    def _event(self, event: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%X\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _drop(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(2)

    def _json(self, status: int, data: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(data).encode(), "application/json", headers or {})

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(write: Write) -> Iterator[LmServer]:
    """A server on a port of this machine, for as long as it is needed."""
    server = LmServer(write)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def writing(model: Any, *, keeps_slots: bool = False) -> Write:
    """Completions of a model, one id after another, with vLLM's rules and none of ours.

    keeps_slots: as a trained model does; random weights know nothing of groups.
    """
    lock = threading.Lock()

    def write(body: dict[str, Any]) -> Iterator[int]:
        allowed = torch.zeros(model.config.vocab_size, dtype=torch.bool)
        allowed[body["allowed_token_ids"]] = True
        generator = torch.Generator().manual_seed(body["seed"])
        written: list[int] = []
        with lock, torch.inference_mode():
            fed, cache = list(body["prompt"]), None
            while len(written) < body["max_tokens"]:
                out = model(input_ids=torch.tensor([fed]), past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                logits = out.logits[0, -1].to(torch.float64).masked_fill(~allowed, -torch.inf)
                if len(written) < body["min_tokens"]:
                    logits[body["stop_token_ids"]] = -torch.inf
                if keeps_slots:
                    logits = _in_slot(logits, [*body["prompt"], *written])
                written.append(_drawn(logits, body["temperature"], generator))
                if written[-1] in body["stop_token_ids"]:
                    break
                fed = written[-1:]
        yield from written

    return write


def _in_slot(logits: torch.Tensor, ids: list[int]) -> torch.Tensor:
    audio = range(FIRST_AUDIO_ID, FIRST_AUDIO_ID + AUDIO_TOKENS)
    behind = next((n for n, id_ in enumerate(reversed(ids)) if id_ not in audio), len(ids))
    low, high = SLOT_RANGES[behind % GROUP]
    kept = torch.full_like(logits, -torch.inf)
    kept[FIRST_AUDIO_ID + low : FIRST_AUDIO_ID + high + 1] = 0
    if behind % GROUP == 0:
        kept[END_OF_TURN_ID] = 0
    return logits + kept


def _drawn(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature < GREEDY:
        return int(logits.argmax())
    shares = torch.softmax(logits / temperature, dim=0)
    return int(torch.multinomial(shares, 1, generator=generator))


def request(n: int, groups: int = 4, **more: Any) -> Request:
    """A prompt that no other number has."""
    return Request(tuple(range(100 + n, 110 + 2 * n)), groups, seed=n, **more)


def same(one: Generated, other: Generated) -> bool:
    return np.array_equal(one.ids, other.ids) and one.stop == other.stop


def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    for _ in range(3000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came")
