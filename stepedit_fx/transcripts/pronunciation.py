"""How English words are said, in the phones of pocketsphinx's model (ARPAbet without stress).

Its dictionary (CMUdict) knows most; espeak-ng guesses the rest, and without it rules for letters.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import islice, product
from typing import Any

from stepedit_fx.errors import StepEditError
from stepedit_fx.transcripts import espeak
from stepedit_fx.transcripts.spoken import spoken_forms

log = logging.getLogger(__name__)

MAX_FORMS = 8  # of one word: each is searched
_MAX_VARIANTS = 4  # that CMUdict lists of a word, "the(2)" and so on

# IPA as espeak-ng's en-us voice writes it -> phones. Longer symbols go first.
_IPA = {
    "ɑː": "AA", "ɑ": "AA", "ɒ": "AA", "a": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH",
    "ɔː": "AO", "ɔ": "AO", "oː": "AO", "aʊ": "AW", "aɪ": "AY", "ɛ": "EH", "e": "EH", "ɚ": "ER",
    "ɜː": "ER", "ɜ": "ER", "eɪ": "EY", "ɪ": "IH", "ᵻ": "IH", "iː": "IY", "i": "IY", "oʊ": "OW",
    "o": "OW", "ɔɪ": "OY", "ʊ": "UH", "uː": "UW", "u": "UW", "b": "B", "tʃ": "CH", "d": "D",
    "ð": "DH", "f": "F", "ɡ": "G", "g": "G", "h": "HH", "dʒ": "JH", "k": "K", "x": "K", "l": "L",
    "m": "M", "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "r": "R", "s": "S", "ʃ": "SH", "t": "T",
    "ɾ": "T", "ʔ": "T", "θ": "TH", "v": "V", "w": "W", "j": "Y", "z": "Z", "ʒ": "ZH",
}  # fmt: skip
_IPA_SYMBOL = re.compile("|".join(sorted(map(re.escape, _IPA), key=len, reverse=True)))

# English spelling, roughly: enough for an aligner, which only has to find the place.
_LETTERS = {
    "tion": "SH AH N", "ough": "AO", "augh": "AO", "eigh": "EY", "tch": "CH", "igh": "AY",
    "dge": "JH", "sch": "SH", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K",
    "ng": "NG", "qu": "K W", "kn": "N", "wr": "R", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW",
    "ow": "OW", "oi": "OY", "oy": "OY", "ai": "EY", "ay": "EY", "au": "AO", "aw": "AO", "er": "ER",
    "ir": "ER", "ur": "ER", "ar": "AA R", "or": "AO R", "ie": "IY", "ei": "EY", "ue": "UW",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH",
    "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "OW", "p": "P", "q": "K", "r": "R",
    "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_SPELLING = re.compile("|".join(sorted(_LETTERS, key=len, reverse=True)))
_DOUBLE = re.compile(r"([b-df-hj-np-tv-z])\1")


def pronunciations(words: Sequence[str], decoder: Any) -> list[list[str]]:
    """Every way in which each written word may be said: phones, parted by spaces.

    Numbers and short forms are said in words. Where none of a word's forms is in the decoder's
    dictionary, it is guessed, and a warning says so.
    """
    forms = [spoken_forms(word) for word in words]
    said = {part for each in forms for form in each for part in form.split()}
    known = {word: found for word in sorted(said) if (found := _looked_up(word, decoder))}
    missing = sorted({w for each in forms for w in each[0].split()} - known.keys())
    if missing:
        log.warning("not in the dictionary, how they are said is guessed: %s", ", ".join(missing))
        known |= {word: [phones] for word, phones in _guessed(missing).items()}
    return [_ways(each, known) for each in forms]


def _ways(forms: Sequence[str], known: dict[str, list[str]]) -> list[str]:
    """The pronunciations of those forms of which every word is known."""
    ways: list[str] = []
    for form in forms:
        parts = [known.get(word, []) for word in form.split()]
        ways += [" ".join(way) for way in islice(product(*parts), MAX_FORMS)]
    return list(dict.fromkeys(ways))[:MAX_FORMS]


def _looked_up(word: str, decoder: Any) -> list[str]:
    entries = [word, *(f"{word}({n})" for n in range(2, _MAX_VARIANTS + 1))]
    return [phones for entry in entries if (phones := decoder.lookup_word(entry))]


def _guessed(words: Sequence[str]) -> dict[str, str]:
    """Phones for words that no dictionary has: by espeak-ng where it is there, else by letters."""
    by_ear: dict[str, str] = {}
    if espeak.is_installed():
        try:
            found = espeak.phonemes(list(words))
            by_ear = {w: from_ipa("".join(ipa)) for w, ipa in zip(words, found, strict=True)}
        except StepEditError as error:
            log.info("espeak-ng cannot pronounce: %s", error)
    return {word: by_ear.get(word) or from_letters(word) for word in words}


def from_ipa(ipa: str) -> str:
    """Phones of espeak-ng's IPA; symbols that English has not are left out."""
    plain = ipa.replace("n̩", "ən").replace("l̩", "əl")
    return " ".join(_IPA[symbol] for symbol in _IPA_SYMBOL.findall(plain))


def from_letters(word: str) -> str:
    """Phones by the letters of a word; AH, the commonest, where it has none that English reads."""
    plain = _DOUBLE.sub(r"\1", word.lower())
    if len(plain) > 3:
        plain = re.sub(r"(?<=[^aeiou])e$", "", plain)
    return " ".join(_LETTERS[part] for part in _SPELLING.findall(plain)) or "AH"
