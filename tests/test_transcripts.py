"""Sidecar transcripts: words end up where they are said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parselmouth.praat import call

from stepedit_fx.errors import ReadError
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import split_words
from stepedit_fx.transcripts import MAX_BYTES, find_transcript, load_transcript


def load(folder: Path, name: str, text: str | bytes) -> Transcript:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_transcript(path)


def test_a_recording_without_a_sidecar_has_no_transcript(tmp_path: Path) -> None:
    """Any recording on its own would fail to render."""
    assert find_transcript(tmp_path / "take.wav") == Transcript()


def test_the_sidecar_that_knows_times_is_taken(tmp_path: Path) -> None:
    """A laugh would be placed by guess although the file says where each word is."""
    audio = tmp_path / "take.v2.wav"
    for name, words in {"take.v2.TXT": "c", "take.v2.srt": "", "take.v2.lab": "0.5 1.0 a"}.items():
        (tmp_path / name).write_text(words or "1\n00:00:01,000 --> 00:00:02,000\nb\n")
    assert find_transcript(audio).text == "a"
    (tmp_path / "take.v2.lab").unlink()
    assert find_transcript(audio).text == "b"
    (tmp_path / "take.v2.srt").unlink()
    assert find_transcript(audio).text == "c"


def test_plain_text(tmp_path: Path) -> None:
    """A byte order mark or a line break would be read as part of a word."""
    text = "\ufeffGood morning,\r\n  [door closes] doctor.\n"
    assert load(tmp_path, "a.txt", text) == Transcript("Good morning, doctor.")


def test_audacity_labels_in_seconds(tmp_path: Path) -> None:
    """Words would be off, or a frequency range taken for a label."""
    text = "0.500000\t0.750000\tWell,\n\\\t100.0\t2000.0\n1.000000\t2.000000\tyou made it\n"
    transcript = load(tmp_path, "a.lab", text)
    assert transcript.text == "Well, you made it"
    assert transcript.words[0] == Word("Well", 0.5, 0.75)
    assert [word.text for word in transcript.words[1:]] == ["you", "made", "it"]
    assert transcript.words[1].start_s == 1.0
    assert transcript.words[2].start_s == pytest.approx(1 + 3 / 9)
    assert transcript.words[3].end_s == 2.0


def test_htk_labels_in_units_of_100_ns(tmp_path: Path) -> None:
    """Every word would lie months after the recording's end."""
    text = "0 5000000 sil\n5000000 7500000 well -12.5\n7500000 9000000 sp\n9000000 12000000 fine\n"
    words = load(tmp_path, "a.lab", text).words
    assert [word.text for word in words] == ["well", "fine"]
    assert [word.start_s for word in words] == pytest.approx([0.5, 0.9])
    assert [word.end_s for word in words] == pytest.approx([0.75, 1.2])


def test_whole_seconds_are_seconds(tmp_path: Path) -> None:
    """Labels typed by hand would be taken for HTK's and shrink to nothing."""
    assert load(tmp_path, "a.lab", "1 2 so\n2 3 what\n").words[1] == Word("what", 2.0, 3.0)


def test_subtitles(tmp_path: Path) -> None:
    """Markup would be spoken, or words of one cue run into the next."""
    text = (
        "1\n00:00:01,500 --> 00:00:03,000 X1:40\n<i>Well,</i>\n{\\an8}you made it\n\n\n"
        "2\n00:01:00.250 --> 00:01:02.000\n[music]\n\n"
        "01:00:00,000 --> 01:00:04,000\n1999\n"
    )
    transcript = load(tmp_path, "a.srt", text)
    assert transcript.text == "Well, you made it 1999"
    assert transcript.words[0].start_s == 1.5
    assert transcript.words[3].end_s == 3.0
    assert transcript.words[4] == Word("1999", 3600.0, 3604.0)


def test_chinese_is_joined_without_spaces(tmp_path: Path) -> None:
    """An engine would be asked to speak text with gaps in it."""
    transcript = load(tmp_path, "a.lab", "0.0 0.5 你好\n0.5 1.0 世界\n1.0 1.5 ok\n")
    assert transcript.text == "你好世界 ok"
    assert [word.text for word in transcript.words] == ["你", "好", "世", "界", "ok"]


def test_overlapping_cues_do_not_overlap_words(tmp_path: Path) -> None:
    """A sound placed before a word would land inside the one before."""
    words = load(tmp_path, "a.lab", "0.0 1.2 one\n1.0 2.0 two\n").words
    assert words[0].end_s == words[1].start_s == 1.0


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("a.txt", "", "holds no words"),
        ("a.txt", " \n[music]\n", "holds no words"),
        ("a.txt", b"fine\ncaf\xe9\n", r"a.txt:2: .*UTF-8"),
        ("a.txt", b"RIFF\0\0\0\0WAVE", "not a text file"),
        ("a.txt", b"a" * (MAX_BYTES + 1), "1 MiB"),
        ("a.lab", "0.5 1.0 so\nhello there\n", r"a.lab:2: .*two times"),
        ("a.lab", "0.5\n", r"a.lab:1: .*two times"),
        ("a.lab", "0.5 1.0 so\n\n0.2 0.9 what\n", r"a.lab:3: .*starts no later"),
        ("a.lab", "0.5 0.5 so\n", r"a.lab:1: .*later end"),
        ("a.lab", "-1 0.5 so\n", r"a.lab:1: .*Count seconds from 0"),
        ("a.lab", "nan 0.5 so\n", r"a.lab:1: .*Count seconds from 0"),
        ("a.lab", "0.1 inf so\n", r"a.lab:1: .*Count seconds from 0"),
        ("a.srt", "hello\n", r"a.srt:1: .*00:00:01,500 -->"),
        ("a.srt", "1\n00:00:01,000 --> later\nhi\n", r"a.srt:2: "),
        ("a.srt", "1\n", r"a.srt:2: "),
        ("a.srt", "\n1\n00:00:02,000 --> 00:00:01,000\nhi\n", r"a.srt:3: .*later end"),
        ("a.pdf", "hello", "Transcripts end in"),
    ],
)
def test_a_malformed_transcript_names_its_line(
    tmp_path: Path, name: str, text: str | bytes, where: str
) -> None:
    """One slip in a long file could not be found."""
    with pytest.raises(ReadError, match=where):
        load(tmp_path, name, text)


def test_a_missing_transcript_is_an_error_when_named(tmp_path: Path) -> None:
    """A graph that names a transcript would silently run without."""
    with pytest.raises(ReadError, match="cannot be read"):
        load_transcript(tmp_path / "a.txt")


TEXTS = st.text(st.sampled_from("ab c'.,-[]<你々。é1"), max_size=12)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.floats(0.01, 5), TEXTS), max_size=8),
    st.sampled_from(["a.lab", "a.srt"]),
)
def test_words_are_in_order_and_are_those_of_the_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float, str]], name: str
) -> None:
    """A sound asked for before the fifth word would be put before another one."""
    lines, now_s = [], 0.0
    for step_s, length_s, text in rows:
        now_s = round(now_s + step_s, 2)
        start, end = now_s, round(now_s + length_s, 2)
        lines.append(f"{start} {end} {text}" if name == "a.lab" else srt_cue(start, end, text))
    try:
        transcript = load(tmp_path_factory.mktemp("t"), name, "\n".join(lines))
    except ReadError as error:
        assert "holds no words" in str(error)  # noqa: PT017 - of rows without a letter
        return
    assert [word.text for word in transcript.words] == split_words(transcript.text)
    times = [t for word in transcript.words for t in (word.start_s, word.end_s)]
    assert times == sorted(times)


def srt_cue(start_s: float, end_s: float, text: str) -> str:
    def stamp(time_s: float) -> str:
        seconds, milliseconds = divmod(round(time_s * 1000), 1000)
        return f"00:{seconds // 60:02}:{seconds % 60:02},{milliseconds:03}"

    return f"{stamp(start_s)} --> {stamp(end_s)}\n{text}\n"


VTT = """WEBVTT - a take

NOTE made by hand
over two lines

STYLE
::cue { color: white }

1
00:01.000 --> 00:02.000 align:start
<v Fred>Good &amp; <i>morning</i>

00:00:02.500 --> 00:00:03.500
Well
"""


def test_web_subtitles(tmp_path: Path) -> None:
    """Captions saved from a browser or a video site place the words as .srt does."""
    found = load(tmp_path, "take.vtt", VTT)
    assert found.text == "Good & morning Well"
    assert [w.text for w in found.words] == ["Good", "morning", "Well"]
    assert (found.words[0].start_s, found.words[-1].end_s) == (1.0, 3.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\n00:01.000 --> 00:02.000\nhi\n", ":1: the line should say WEBVTT"),
        ("WEBVTT\n\nid\n00:01.000 -> 00:02.000\nhi\n", ":4: the line should hold a cue's times"),
        ("WEBVTT\n\nalone\n", ":3: the line belongs to no cue"),
        ("WEBVTT\n\n00:02.000 --> 00:01.000\nhi\n", ":3: the line ends no later"),
    ],
)
def test_web_subtitles_that_are_none_say_where(tmp_path: Path, text: str, said: str) -> None:
    """A broken caption file would be searched by eye."""
    with pytest.raises(ReadError, match=said):
        load(tmp_path, "take.vtt", text)


@pytest.fixture(params=["Save as text file", "Save as short text file"])
def praat_grid(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A TextGrid that Praat itself made and saved, phones first, as a forced aligner's are."""
    grid = call("Create TextGrid", 0.0, 3.0, "phones words marks", "marks")
    for tier, at_s in ((1, 0.5), (1, 1.0), (2, 1.0), (2, 2.0)):
        call(grid, "Insert boundary", tier, at_s)
    call(grid, "Set interval text", 1, 2, "u")
    call(grid, "Set interval text", 2, 2, 'say "h\u00e9" 3')
    call(grid, "Set interval text", 2, 3, "\u65e9 there")
    call(grid, "Insert point", 3, 1.5, "a mark")
    path = tmp_path / "take.TextGrid"
    call(grid, request.param, str(path))
    return path


def test_a_grid_of_praats_own(praat_grid: Path) -> None:
    """Alignments of MFA or by hand would be lost, or phones be taken for words."""
    found = find_transcript(praat_grid.with_name("take.wav"))
    assert [w.text for w in found.words] == ["say", "h\u00e9", "3", "\u65e9", "there"]
    assert (found.words[0].start_s, found.words[3].start_s) == (1.0, 2.0)
    assert found.words[-1].end_s == 3.0


@given(data=st.data())
@settings(max_examples=60)
def test_no_text_breaks_the_readers(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A damaged sidecar is an error with its place, never a traceback or a hang."""
    folder = tmp_path_factory.getbasetemp()
    words = """ooTextFile "ooTextFile" "TextGrid" <exists> 0 1e9 1e999 -3 WEBVTT --> \\
"IntervalTier" " ! [1]:"""
    pieces = st.sampled_from([*words.split(), "00:01.000 --> 00:02.000", "\n", "\n\n", "\u65e9"])
    text = " ".join(data.draw(st.lists(pieces, max_size=30)))
    for name in ("a.vtt", "a.TextGrid"):
        try:
            load(folder, name, text)
        except ReadError:
            continue
