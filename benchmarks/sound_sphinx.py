"""pocketsphinx's own test recordings, laid out for `sound_survival`: people, with their words.

    apt-get download pocketsphinx-testdata && dpkg -x pocketsphinx-testdata_*.deb unpacked
    python benchmarks/sound_sphinx.py unpacked/usr/share/pocketsphinx/test/data clips
    STEPEDIT_CLIPS=clips python benchmarks/sound.py --only survival

13 clips of 16 kHz: five of a reading of Austen (LibriVox), five of playing cards, three commands.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.files import read_audio, write_audio

RATE_HZ = 16_000
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


def clips(data: Path) -> Iterator[tuple[str, Audio, str]]:
    """Name, sound and words of each."""
    for folder, listing in FOLDERS.items():
        for text, name in _LINE.findall((data / folder / listing).read_text()):
            sound = read_audio(data / folder / f"{name}.wav")
            yield f"{folder}-{name[-4:]}", sound, text.replace(*SLIP)
    for name, text in COMMANDS.items():
        pcm = np.fromfile(data / f"{name}.raw", "<i2")
        yield name, Audio((pcm / 32768).astype(np.float32)[None], RATE_HZ), text


def main() -> None:
    data, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for name, sound, text in clips(data):
        write_audio(out / f"{name}.wav", sound)
        (out / f"{name}.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
