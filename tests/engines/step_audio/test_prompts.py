"""What the language model is told: a wrong id, and the published weights answer with noise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from stepedit_fx.engines.step_audio import prompts
from stepedit_fx.engines.step_audio.text import TextTokenizer
from stepedit_fx.engines.step_audio.vocabulary import FIRST_AUDIO_ID
from stepedit_fx.errors import EngineError, ReadError, RequestError
from stepedit_fx.speech import Edit

GOLDEN = json.loads((Path(__file__).parent / "golden" / "prompts.json").read_text("utf-8"))
TOKENS = [5, 6, 1024, 2000, 5119]
AUDIO = "".join(f"<audio_{n}>" for n in TOKENS)
BOS, EOT, BOT = 1, 3, 4


@pytest.fixture(scope="module")
def model_path(tiny_checkpoint: Path) -> Path:
    return tiny_checkpoint / "Step-Audio-EditX" / "tokenizer.model"


@pytest.fixture(scope="module")
def tokenizer(model_path: Path) -> TextTokenizer:
    return TextTokenizer(model_path)


@pytest.fixture(scope="module")
def plain(model_path: Path) -> SentencePieceProcessor:
    """SentencePiece itself, as the reference uses it."""
    return SentencePieceProcessor(model_proto=model_path.read_bytes())


def test_the_wordings_are_the_published_ones() -> None:
    assert GOLDEN["edit_system"] == prompts.EDIT_SYSTEM
    template = prompts.CLONE_SYSTEM[0].replace("{transcript}", "{prompt_text}")
    assert GOLDEN["clone_system"] == template + "{prompt_wav_tokens}" + prompts.CLONE_SYSTEM[1]
    assert GOLDEN["instructions"] == dict(prompts.INSTRUCTIONS)


def test_every_tag_has_an_instruction() -> None:
    """A tag of the vocabulary that could not be asked for would fail in the middle of a batch."""
    for kind, values in GOLDEN["values"].items():
        if kind in ("emotion", "style", "speed"):
            for value in values:
                told = prompts.instruction(Edit(kind, value), "hello")
                assert "hello" in told
                assert value == "remove" or value in told
    with pytest.raises(RequestError, match="no instruction for 'clone'"):
        prompts.instruction(Edit("clone"), "")


def test_an_edit_is_asked_for_as_the_reference_asks(
    tokenizer: TextTokenizer, plain: SentencePieceProcessor
) -> None:
    """Id for id what the reference's string would give, its audio names included."""
    edit = Edit("emotion", "happy")
    told = prompts.instruction(edit, "Good morning")
    wanted = [
        *[BOS, BOT, *plain.encode("system\n" + prompts.EDIT_SYSTEM), EOT],
        *[BOT, *plain.encode("human\n"), *plain.encode(f"{told}\n{AUDIO}\n"), EOT],
        *[BOT, *plain.encode("assistant\n")],
    ]
    assert prompts.edit_prompt(tokenizer, edit, " Good morning ", TOKENS) == wanted


def test_a_clone_is_asked_for_as_the_reference_asks(
    tokenizer: TextTokenizer, plain: SentencePieceProcessor
) -> None:
    before, after = prompts.CLONE_SYSTEM
    system = before.format(speaker=prompts.SPEAKER, transcript="Hi there") + AUDIO + after
    text = "[Cantonese]ni3 hao3, [Laughter] friend"
    wanted = [
        *[BOS, BOT, *plain.encode("system\n" + system), EOT],
        *[BOT, *plain.encode("human\n"), *plain.encode("\n" + text)[len(plain.encode("\n")) :]],
        *[EOT, BOT, *plain.encode("assistant\n")],
    ]
    assert prompts.clone_prompt(tokenizer, text, "Hi there", TOKENS) == wanted


NASTY = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["<audio_5>", "<|EOT|>", "<|BOT|>", "<s>", "</s>", "<unk>", "<0x0A>", "<<audio_1>>", "▁"]
    ),
)


@settings(max_examples=150)
@given(st.lists(NASTY, max_size=6).map("".join))
def test_no_text_becomes_audio_or_control(tokenizer: TextTokenizer, text: str) -> None:
    """A transcript that says `<|EOT|>` must not end the turn, nor `<audio_5>` sound."""
    text = text.encode("utf-8", "ignore").decode("utf-8")
    for ids in (tokenizer.encode(text), tokenizer.encode_after(text)):
        assert all(5 <= i < FIRST_AUDIO_ID or i == 0 for i in ids)


@settings(max_examples=60)
@given(st.text(alphabet="<>|audio_EOTBs5 \n", max_size=30))
def test_spelled_out_names_still_say_what_was_written(
    tokenizer: TextTokenizer, plain: SentencePieceProcessor, text: str
) -> None:
    """Nothing of a text is dropped on the way."""
    decoded = plain.decode(tokenizer.encode_after(text))
    assert decoded.replace(" ", "") == text.replace(" ", "")


@settings(max_examples=60)
@given(st.text(alphabet="abc ,.!你好\nZ'", max_size=30))
def test_ordinary_text_is_encoded_as_the_reference_does(
    tokenizer: TextTokenizer, plain: SentencePieceProcessor, text: str
) -> None:
    assert tokenizer.encode(text) == plain.encode(text)


def test_a_text_that_is_no_unicode_is_refused(tokenizer: TextTokenizer) -> None:
    with pytest.raises(RequestError, match="not valid Unicode"):
        tokenizer.encode("a\ud800")


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    other = tmp_path / "tokenizer.model"
    other.write_bytes(b"no model")
    with pytest.raises(ReadError, match=r"tokenizer\.model"):
        TextTokenizer(other)
    with pytest.raises(ReadError, match=r"gone\.model"):
        TextTokenizer(tmp_path / "gone.model")


def test_malformed_tokens_are_refused(tokenizer: TextTokenizer) -> None:
    with pytest.raises(EngineError, match="position 0"):
        prompts.edit_prompt(tokenizer, Edit("denoise"), "", [1024, 1, 1024, 1024, 1024])
