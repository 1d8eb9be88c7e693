"""Recordings of people with their words, out of Debian packages, laid out for `sound_survival`.

    apt-get download pocketsphinx-testdata asterisk-core-sounds-en asterisk-core-sounds-en-g722
    for package in *.deb; do dpkg -x $package unpacked; done
    pip install av    # reads G.722
    python benchmarks/sound_people.py unpacked clips
    STEPEDIT_CLIPS=clips python benchmarks/sound.py --only survival

37 clips of 16 kHz: five of a reading of Austen (LibriVox), five of playing cards and three commands
from pocketsphinx's own tests; 24 sentences by the voice of the Asterisk telephone exchange.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.files import read_audio, write_audio

RATE_HZ = 16_000
SPHINX = Path("usr/share/pocketsphinx/test/data")
# folder -> its transcriptions, lines of "<s> words </s> (name)"; what one of them has twice by slip
FOLDERS = {"librivox": "transcription", "cards": "cards.transcription"}
SLIP = ("more a amiable", "more amiable")
# 16-bit samples without a header
COMMANDS = {
    "goforward": "go forward ten meters",
    "numbers": "thirty three four oh six ninety two",
    "something": "go somewhere and do something",
}
_LINE = re.compile(r"<s>\s*(.*?)\s*</s>\s*\((.*)\)")

ASTERISK = Path("usr/share/asterisk/sounds/en_US_f_Allison")
ASTERISK_WORDS = Path("usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
# Whole sentences that are read as they are written, and no two that are nearly the same.
PROMPTS = (
    "at-tone-time-exactly", "conf-roll-callcomplete", "confbridge-pin-bad",
    "confbridge-rest-list-vol-in", "demo-enterkeywords", "demo-nomatch", "dir-instr", "dir-nomore",
    "followme/options", "followme/pls-hold-while-try", "followme/status", "priv-introsaved",
    "queue-periodic-announce", "queue-youarenext", "ss-noservice", "tt-allbusy",
    "vm-forward-multiple", "vm-instructions", "vm-invalid-password", "vm-newuser", "vm-nobox",
    "vm-nonumber", "vm-rec-temp", "vm-tempgreeting2",
)  # fmt: skip
# The digits and signs in them, as they are said.
SAID = {"1": "one", "2": "two", "7": "seven", "9": "nine", "*": "star", "...": "", "represenat":
        "representat"}  # fmt: skip


def sphinx_clips(data: Path) -> Iterator[tuple[str, Audio, str]]:
    """Name, sound and words of each of pocketsphinx's."""
    for folder, listing in FOLDERS.items():
        for text, name in _LINE.findall((data / folder / listing).read_text()):
            sound = read_audio(data / folder / f"{name}.wav")
            yield f"{folder}-{name[-4:]}", sound, text.replace(*SLIP)
    for name, text in COMMANDS.items():
        pcm = np.fromfile(data / f"{name}.raw", "<i2")
        yield name, _audio(pcm), text


def asterisk_clips(unpacked: Path) -> Iterator[tuple[str, Audio, str]]:
    """Name, sound and words of each of Asterisk's."""
    lines = gzip.decompress((unpacked / ASTERISK_WORDS).read_bytes()).decode().splitlines()
    words = dict(line.split(": ", 1) for line in lines if ": " in line)
    for name in PROMPTS:
        with av.open(str(unpacked / ASTERISK / f"{name}.g722"), format="g722") as file:
            pcm = np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])
        text = words[name]
        for written, said in SAID.items():
            text = text.replace(written, said)
        yield f"asterisk-{name.replace('/', '-')}", _audio(pcm), " ".join(text.split())


def _audio(pcm: np.ndarray) -> Audio:
    return Audio((pcm / 32768).astype(np.float32)[None], RATE_HZ)


def main() -> None:
    unpacked, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for clips in (sphinx_clips(unpacked / SPHINX), asterisk_clips(unpacked)):
        for name, sound, text in clips:
            write_audio(out / f"{name}.wav", sound)
            (out / f"{name}.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
