"""The vocabulary of edits: every kind and tag, each with a line of meaning.

The tags are those the published Step-Audio-EditX weights were trained on; engines say which of
them they offer and may offer more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stepedit_fx.errors import TagError, did_you_mean


@dataclass(frozen=True)
class Tag:
    """One tag: its name on the wire and what it asks for.

    is_about_loudness: whether being louder or softer is part of what it means; of all others the
    result is brought back to the loudness of the source.
    """

    name: str
    meaning: str
    is_about_loudness: bool = False


@dataclass(frozen=True)
class EditKind:
    """One kind of edit; ``tags`` is empty for a kind without a value.

    is_about_loudness: as of a tag, for a kind without tags.
    """

    name: str
    meaning: str
    tags: Mapping[str, Tag]
    is_about_loudness: bool = False


def _tags(*rows: tuple[str, str], loudness: str = "") -> Mapping[str, Tag]:
    """loudness: the names of those that are about loudness."""
    about = loudness.split()
    return MappingProxyType({name: Tag(name, meaning, name in about) for name, meaning in rows})


EMOTIONS = _tags(
    ("happy", "bright and pleased"),
    ("angry", "hot and forceful"),
    ("sad", "low, slow and subdued"),
    ("humour", "playful, about to joke"),
    ("confusion", "unsure, asking itself"),
    ("disgusted", "repelled"),
    ("empathy", "feeling with the listener"),
    ("embarrass", "ill at ease"),
    ("fear", "frightened, tense and trembling"),
    ("surprised", "taken unawares"),
    ("excited", "eager, full of energy"),
    ("depressed", "flat, without strength"),
    ("coldness", "distant, without warmth"),
    ("admiration", "looking up to someone"),
    ("remove", "take any emotion away"),
    # Juslin & Laukka 2003, Scherer 2003: those whose intensity is said to be high or low.
    loudness="happy angry sad embarrass surprised excited depressed",
)

STYLES = _tags(
    ("serious", "sober and weighty"),
    ("arrogant", "looking down on the listener"),
    ("child", "a child's voice"),
    ("older", "an old person's voice"),
    ("girl", "a young girl's voice"),
    ("pure", "clear and unspoilt"),
    ("sister", "a grown, assured woman"),
    ("sweet", "sugary and charming"),
    ("ethereal", "airy, as from far away"),
    ("whisper", "without voicing, under the breath"),
    ("gentle", "soft and kind"),
    ("recite", "a poem read aloud"),
    ("generous", "open-hearted and hearty"),
    ("act_coy", "pouting, wheedling"),
    ("warm", "near and friendly"),
    ("shy", "timid and held back"),
    ("comfort", "soothing someone"),
    ("authority", "used to being obeyed"),
    ("chat", "relaxed talk among friends"),
    ("radio", "a late-night radio host"),
    ("soulful", "deeply felt"),
    ("story", "a storyteller"),
    ("vivid", "lively and colourful"),
    ("program", "the host of a show"),
    ("news", "a newsreader"),
    ("advertising", "selling something"),
    ("roar", "a hoarse roar"),
    ("murmur", "half-voiced, to oneself"),
    ("shout", "calling over a distance"),
    ("deeply", "from deep in the chest"),
    ("loudly", "at full voice"),
    ("exaggerated", "everything a size larger"),
    ("remove", "take any speaking style away"),
    loudness="whisper gentle shy roar murmur shout loudly",
)

SPEEDS = _tags(
    ("faster", "quicker"),
    ("slower", "calmer"),
    ("more faster", "much quicker"),
    ("more slower", "much calmer"),
)

SOUNDS = _tags(
    ("Breathing", "a breath taken in"),
    ("Laughter", "a short laugh"),
    ("Surprise-oh", 'an "oh" of surprise'),
    ("Confirmation-en", 'an "mm" of assent'),
    ("Uhm", "a filled pause"),
    ("Surprise-ah", 'an "ah" of surprise'),
    ("Surprise-wa", 'a "wow" of surprise'),
    ("Sigh", "a long breath let out"),
    ("Question-ei", 'an "eh?" of asking'),
    ("Dissatisfaction-hnn", 'a "hmph" of displeasure'),
)

# Prefixes that ask a model for a dialect or language when it speaks new text.
DIALECTS = _tags(
    ("[Sichuanese]", "Sichuan dialect of Mandarin"),
    ("[Cantonese]", "Cantonese"),
    ("[Japanese]", "Japanese"),
    ("[Korean]", "Korean"),
)

KINDS: Mapping[str, EditKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            EditKind("emotion", "how the speaker feels", EMOTIONS),
            EditKind("style", "the manner of speaking", STYLES),
            EditKind("speed", "the pace", SPEEDS),
            EditKind("paralinguistic", "non-verbal sounds, where tags stand in the text", _tags()),
            # What is left keeps its level: noise that is all there was is not brought up again.
            EditKind("denoise", "take background noise away", _tags(), is_about_loudness=True),
            EditKind("vad", "take silent portions away", _tags()),
            EditKind("clone", "new words in the voice of a recording", _tags()),
        )
    }
)


def check_tag(kind: str, value: str) -> None:
    """Raise TagError, with the nearest right word, unless the vocabulary has this kind and tag."""
    if kind not in KINDS:
        raise TagError(f"unknown edit kind '{kind}'", remedy=did_you_mean(kind, KINDS))
    tags = KINDS[kind].tags
    if tags and value not in tags:
        raise TagError(f"unknown {kind} '{value}'", remedy=did_you_mean(value, tags))
    if not tags and value:
        raise TagError(f"'{kind}' takes no value, got '{value}'", remedy="Leave the value out.")


def is_about_loudness(kind: str, value: str) -> bool:
    """Whether an edit of the vocabulary, with this tag, means to change how loud the speech is."""
    tag = KINDS[kind].tags.get(value)
    return tag.is_about_loudness if tag else KINDS[kind].is_about_loudness


@dataclass(frozen=True)
class Sound:
    """A non-verbal sound asked for in a text: the tag and the index of the word it precedes."""

    tag: str
    before_word: int


_TAG = re.compile(r"\[([A-Za-z][A-Za-z-]*)\]")
_LOOSE = re.compile(r"\[[^\[\]]*\]?|\]")  # a bracket that is none, in what the tags leave
# In scripts with spaces; in Chinese, Japanese and Korean a tag stands between characters.
_PART = r"[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
_INSIDE_WORD = re.compile(rf"({_PART})((?:\[[A-Za-z][A-Za-z-]*\])+)({_PART})")


def parse_sounds(text: str) -> tuple[str, tuple[Sound, ...]]:
    """Split "Well, [Sigh] fine." into ("Well, fine.", (Sound("Sigh", 1),)).

    Words are what `split_words` finds. Raises TagError for what stands in brackets and is no sound,
    for a bracket without its other, and for a sound inside a word.
    """
    inside = _INSIDE_WORD.search(text)
    if inside:
        raise TagError(
            f"a sound stands inside a word: '{inside[0]}'",
            remedy=f"Put it before or after: '{inside[2]} {inside[1]}{inside[3]}'.",
        )
    plain = ""
    sounds: list[Sound] = []
    end = 0
    for match in _TAG.finditer(text):
        tag = match.group(1)
        if tag not in SOUNDS:
            raise TagError(f"unknown sound '[{tag}]'", remedy=did_you_mean(tag, SOUNDS))
        plain += text[end : match.start()]
        end = match.end()
        sounds.append(Sound(tag, len(split_words(plain))))
    plain += text[end:]
    if loose := _LOOSE.search(plain):
        raise _no_sound(" ".join(loose[0].split()))
    return " ".join(plain.split()), tuple(sounds)


def _no_sound(written: str) -> TagError:
    """What is said of "[a cough]", "[Sigh fine" or "]"."""
    inside = written.strip("[] ")
    is_whole = written.startswith("[") and written.endswith("]")
    named = inside if is_whole else inside.partition(" ")[0]
    near = did_you_mean(named, SOUNDS) if named else "Write a sound as [Sigh]."
    if named in SOUNDS:
        near = f"Write '[{named}]'."
    if is_whole:
        return TagError(f"unknown sound '{written}'", remedy=near)
    other = "closed" if written.startswith("[") else "opened"
    return TagError(f"a bracket is not {other}: '{written}'", remedy=near)


# One "word" is a run of letters, digits and apostrophes, or a single CJK character: Chinese
# and Japanese put no spaces, and for placing a sound a character is the natural step.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+(?:['’][^\W_]+)*"
)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each word of a text starts and ends, punctuation left out."""
    return [match.span() for match in _WORD.finditer(text)]


def split_words(text: str) -> list[str]:
    """The words of a text as placement counts them, punctuation left out."""
    return [text[start:end] for start, end in word_spans(text)]
