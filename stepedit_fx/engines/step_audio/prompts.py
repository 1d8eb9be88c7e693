"""What is said to the language model, as ids.

The wordings are the wire format that the published weights were trained on: not a word of them
can be improved. Source: the published Step-Audio-EditX checkpoint and its reference code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from numpy.typing import ArrayLike

from stepedit_fx.engines.step_audio.text import TextTokenizer
from stepedit_fx.engines.step_audio.vocabulary import (
    BEGIN_OF_TURN_ID,
    BOS_ID,
    END_OF_TURN_ID,
    to_lm,
)
from stepedit_fx.errors import RequestError
from stepedit_fx.speech import Edit

EDIT_SYSTEM = (
    "As a highly skilled audio editing and tuning specialist, you excel in interpreting user "
    "instructions and applying precise adjustments to meet their needs. Your expertise spans a "
    "wide range of enhancement capabilities, including but not limited to:\n"
    "# Emotional Enhancement\n"
    "# Speaking Style Transfer\n"
    "# Non-linguistic Adjustments\n"
    "# Audio Tuning & Editing\n"
    "Note: You will receive instructions in natural language and are expected to accurately "
    "interpret and execute the most suitable audio edits and enhancements.\n"
)
CLONE_SYSTEM = (  # before and after the reference's audio tokens
    "Generate audio with the following timbre, prosody and speaking style\n\n"
    "[speaker_start]\n"
    "speaker name: {speaker}\n"
    "speaker prompt text: \n{transcript}\n"
    "speaker audio tokens: \n",
    "\n[speaker_end]\n",
)
# By kind, or kind and value where a value has a wording of its own.
INSTRUCTIONS: Mapping[str, str] = {
    "emotion": "Make the following audio more {value}. "
    "The text corresponding to the audio is: {transcript}\n",
    "emotion.remove": "Remove any emotion in the following audio "
    "and the reference text is: {transcript}\n",
    "style": "Make the following audio more {value} style. "
    "The text corresponding to the audio is: {transcript}\n",
    "style.remove": "Remove any speaking styles in the following audio "
    "and the reference text is: {transcript}\n",
    "speed": "Make the following audio more {value}. "
    "The text corresponding to the audio is: {transcript}\n",
    "denoise": "Remove any noise from the given audio while preserving the voice content clearly. "
    "Ensure that the speech quality remains intact with minimal distortion, "
    "and eliminate all noise from the audio.\n",
    "vad": "Remove any silent portions from the given audio while preserving the voice content "
    "clearly. Ensure that the speech quality remains intact with minimal distortion, "
    "and eliminate all silence from the audio.\n",
    "paralinguistic": "Add some non-verbal sounds to make the audio more natural, "
    "the new text is : {text}\n  The text corresponding to the audio is: {transcript}\n",
}
# The model wants some name for a cloned voice; a fixed one keeps equal requests equal.
SPEAKER = "clone_0000000000000000"


def instruction(edit: Edit, transcript: str) -> str:
    """The sentence that asks for an edit. Raises RequestError for a kind that has none."""
    wording = INSTRUCTIONS.get(f"{edit.kind}.{edit.value}") or INSTRUCTIONS.get(edit.kind)
    if wording is None:
        raise RequestError(f"the step-audio engine has no instruction for '{edit.kind}'")
    slots = {"value": edit.value, "text": edit.text.strip(), "transcript": transcript.strip()}
    return wording.format(**slots)


def edit_prompt(
    tokenizer: TextTokenizer, edit: Edit, transcript: str, tokens: ArrayLike
) -> list[int]:
    """Ids that ask for an edit of mixed audio tokens with this transcript.

    Raises EngineError for malformed tokens, RequestError for a text that is not valid Unicode.
    """
    # Each piece is encoded apart, as the reference does; within the user's turn the text goes on
    # after the audio tokens, so that its last newline is not the start of a piece.
    return [
        BOS_ID,
        *_turn(tokenizer.encode(f"system\n{EDIT_SYSTEM}")),
        *_turn(
            [
                *tokenizer.encode("human\n"),
                *tokenizer.encode(instruction(edit, transcript) + "\n"),
                *to_lm(tokens).tolist(),
                *tokenizer.encode_after("\n"),
            ]
        ),
        BEGIN_OF_TURN_ID,
        *tokenizer.encode("assistant\n"),
    ]


def clone_prompt(
    tokenizer: TextTokenizer, text: str, transcript: str, tokens: ArrayLike
) -> list[int]:
    """Ids that ask for a text in the voice of mixed audio tokens with this transcript.

    Dialect prefixes ("[Cantonese]") and pinyin digits stand in the text as they are.
    Raises as `edit_prompt`.
    """
    before, after = CLONE_SYSTEM
    opening = before.format(speaker=SPEAKER, transcript=transcript)
    return [
        BOS_ID,
        *_turn(
            [
                *tokenizer.encode(f"system\n{opening}"),
                *to_lm(tokens).tolist(),
                *tokenizer.encode_after(after),
            ]
        ),
        *_turn([*tokenizer.encode("human\n"), *tokenizer.encode_after(text)]),
        BEGIN_OF_TURN_ID,
        *tokenizer.encode("assistant\n"),
    ]


def system_length(prompt: Sequence[int]) -> int:
    """How many of a prompt's ids are the system's turn: of edits always the same ones, of clones
    those of the voice."""
    return prompt.index(END_OF_TURN_ID) + 1


def _turn(ids: list[int]) -> list[int]:
    return [BEGIN_OF_TURN_ID, *ids, END_OF_TURN_ID]
