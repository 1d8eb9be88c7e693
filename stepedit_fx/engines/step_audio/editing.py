"""Edits and clones: prompts to the language model, tokens back."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Protocol

from stepedit_fx.engines.base import is_cancelled, is_urgent, progress_teller
from stepedit_fx.engines.step_audio.generation import Generated, Request, pass_seed
from stepedit_fx.engines.step_audio.networks import Networks
from stepedit_fx.engines.step_audio.over_time import of_segment
from stepedit_fx.engines.step_audio.prompts import clone_prompt, edit_prompt, system_length
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.takes import (
    Around,
    Segment,
    Source,
    pack,
    unpack,
    with_segments,
)
from stepedit_fx.engines.step_audio.vocabulary import GROUP, GROUP_S, Codes, from_lm
from stepedit_fx.errors import Cancelled, RequestError
from stepedit_fx.segments import (
    cut_sentences,
    cut_text,
    cut_text_with_sounds,
    share_words,
    spoken_s,
)
from stepedit_fx.speech import Edit, Speech, Transcript
from stepedit_fx.tags import DIALECTS, SOUNDS, parse_sounds, split_words

logger = logging.getLogger(__name__)

# How much longer than its source an edit may get before it counts as lost. The published model
# stays well within: "more slower" adds about half.
LONGER = {"slower": 2.5, "more slower": 3.5}
USUALLY_LONGER = 2.0
SOUND_S = 3.0  # for each laugh or sigh asked for
SPARE_S = 2.0
CLONE_LONGER = 2.0  # than a slow reading
# A model that ends its turn before this part of the wanted length has lost the text; it is not
# let end so soon. No edit but vad, which may find little but silence, makes speech so short.
SHORTEST = 0.25
# Kinds whose instruction holds no transcript.
WORDLESS = ("denoise", "vad")


class Watch(Protocol):
    """Somebody who looks on while ids are written."""

    def begin(self, due: Sequence[tuple[int, int]]) -> None:
        """These are about to be written: of each the take and its segment."""

    def written(self, take: int, segment: int, ids: Sequence[int], is_all: bool) -> None:
        """A segment's ids so far, and whether they are all; in the writer's thread."""


@dataclass(frozen=True)
class _Job:
    """One prompt: for which take and which of its segments, and how long it may get.

    words: how many the answer is to say, where the prompt says which.
    """

    take: int
    segment: int
    request: Request
    words: int | None = None


def passes(edit: Edit) -> int:
    """How many times over an edit is done.

    The model does an edit as a whole; its degree is how often. A strength counts as a part of the
    iterations, but a wish above 0 is done at least once.
    """
    if edit.strength == 0:
        return 0
    wanted = edit.strength * edit.iterations
    if edit.strength < 1 and not float(wanted).is_integer():
        _tell_strength()
    return max(1, round(wanted))


@lru_cache(maxsize=1)
def _tell_strength() -> None:
    """Once a process: ten thousand lines of dialogue need not say it ten thousand times."""
    logger.warning(
        "the step-audio engine does an edit whole, once or several times over: "
        "strength counts as a part of the iterations"
    )


def edit_once(
    networks: Networks,
    sampling: Sampling,
    takes: Sequence[Speech],
    edits: Sequence[Sequence[Edit]],
    number: int,
    watch: Watch | None = None,
) -> list[Speech]:
    """Each take after one pass of its edit. number: of the pass, from 0; each draws anew.

    edits: of each take one, or one for every segment (see `over_time.split`).

    Raises RequestError, EngineError, Cancelled.
    """
    jobs = [
        job
        for index, (take, edit) in enumerate(zip(takes, edits, strict=True))
        for job in _jobs(networks, sampling, index, take, edit, number)
    ]
    answers = _run(networks, jobs, watch)
    found = dict(zip([(job.take, job.segment) for job in jobs], answers, strict=True))
    edited = []
    for index, (take, edit) in enumerate(zip(takes, edits, strict=True)):
        segments, around = unpack(take)
        segments = [
            replace(segment, tokens=_tokens(found[index, n], edit[0].kind))
            if (index, n) in found
            else segment
            for n, segment in enumerate(segments)
        ]
        result = with_segments(take, segments, around_after(around, edit, number))
        if edit[0].kind == "paralinguistic" and not take.transcript:
            result = replace(result, transcript=Transcript(parse_sounds(edit[0].text)[0]))
        edited.append(result)
    return edited


def clone(
    networks: Networks,
    sampling: Sampling,
    references: Sequence[Speech],
    edits: Sequence[Edit],
    watch: Watch | None = None,
) -> list[Speech]:
    """See `StepAudioEngine.clone`."""
    jobs = [
        job
        for index, (reference, edit) in enumerate(zip(references, edits, strict=True))
        for job in _clone_jobs(networks, sampling, index, reference, edit)
    ]
    results = _run(networks, jobs, watch)
    cloned = []
    for index, (reference, edit) in enumerate(zip(references, edits, strict=True)):
        spoken_as = spoken_like(reference)
        segments = [
            Segment(_tokens(result, "clone"), spoken_as, job.words)
            for job, result in zip(jobs, results, strict=True)
            if job.take == index
        ]
        words = Transcript(_spoken(edit.text))
        cloned.append(pack(segments, Around.NOTHING, reference.voice, reference.place, words))
    return cloned


def _jobs(
    networks: Networks,
    sampling: Sampling,
    index: int,
    take: Speech,
    edits: Sequence[Edit],
    number: int,
) -> list[_Job]:
    segments, around = unpack(take)
    texts, wanted = _texts(take, segments, around, edits[0])
    jobs = []
    for n, segment in enumerate(segments):
        edit = of_segment(edits, n)
        if number >= passes(edit) or (edit.kind == "paralinguistic" and not wanted[n]):
            continue  # nothing is to be done with this segment
        mine = replace(edit, text=wanted[n])
        prompt = tuple(edit_prompt(networks.text, mine, texts[n], segment.tokens))
        request = Request(
            prompt_ids=prompt,
            prefix=system_length(prompt),
            max_groups=_budget(mine, len(segment.tokens) // GROUP),
            min_groups=_least(mine, len(segment.tokens) // GROUP),
            seed=pass_seed(edit.seed, number, n),
            sampling=sampling,
        )
        jobs.append(_Job(index, n, request))
    return jobs


def _texts(
    take: Speech, segments: Sequence[Segment], around: Around, edit: Edit
) -> tuple[list[str], list[str]]:
    """What each segment says, and the text with sounds that is wanted of it."""
    spoken = take.transcript.text
    if not spoken and edit.kind == "paralinguistic":
        spoken = parse_sounds(edit.text)[0]
    if not spoken and edit.kind not in WORDLESS:
        logger.warning("no transcript: the model edits better when it is told the words")
    transcript = replace(take.transcript, text=spoken)
    shares = _told_shares(spoken, segments) or share_words(
        transcript, _spans_s(take, segments, around)
    )
    wanted = [edit.text] * len(segments)
    if edit.kind == "paralinguistic":
        if not parse_sounds(edit.text)[1]:
            raise RequestError(
                f"the text {edit.text!r} has no sound in it",
                remedy="Put one in brackets where it belongs, as in 'Well, [Sigh] fine.'",
            )
        wanted = cut_text_with_sounds(edit.text, spoken, shares)
    return cut_text(spoken, shares), wanted


def _told_shares(spoken: str, segments: Sequence[Segment]) -> list[tuple[int, int]]:
    """Which words each segment was told to say; nothing where it is not known of all."""
    edges = [0, *accumulate(-1 if s.words is None else s.words for s in segments)]
    known = all(segment.words is not None for segment in segments)
    return list(pairwise(edges)) if known and edges[-1] == len(split_words(spoken)) else []


def _spans_s(
    take: Speech, segments: Sequence[Segment], around: Around
) -> list[tuple[float, float]]:
    """When each segment is spoken: in the source, or one after another for new words."""
    if around is Around.NOTHING and not take.transcript.words:
        ends = [0.0]
        for segment in segments:
            ends.append(ends[-1] + len(segment.tokens) // GROUP * GROUP_S)
        return list(pairwise(ends))
    rate = take.place.sample_rate
    spans = [Source.of(take.voice).references[s.reference].span for s in segments]
    return [(start / rate, end / rate) for start, end in spans]


def _clone_jobs(
    networks: Networks, sampling: Sampling, index: int, reference: Speech, edit: Edit
) -> list[_Job]:
    dialect = next((prefix for prefix in DIALECTS if edit.text.lstrip().startswith(prefix)), "")
    if not edit.text.strip().removeprefix(dialect).strip():
        raise RequestError("there is no text to say", remedy="Give the clone a text.")
    segments, around = unpack(reference)
    texts, _ = _texts(reference, segments, around, replace(edit, kind="clone"))
    at, longest = _longest(segments)
    jobs = []
    for n, piece in enumerate(cut_sentences(edit.text)):
        said = piece if n == 0 else dialect + piece
        allowed_s = spoken_s(piece) * CLONE_LONGER + SPARE_S + SOUND_S * piece.count("[")
        prompt = tuple(clone_prompt(networks.text, said, texts[at], longest.tokens))
        request = Request(
            prompt_ids=prompt,
            prefix=system_length(prompt),
            max_groups=math.ceil(allowed_s / GROUP_S),
            min_groups=max(1, int(spoken_s(piece) * SHORTEST / GROUP_S)),
            seed=pass_seed(edit.seed, 0, n),
            sampling=sampling,
        )
        jobs.append(_Job(index, n, request, len(split_words(_spoken(piece)))))
    return jobs


def spoken_like(reference: Speech) -> int:
    """The number of the reference that a clone of a take is spoken with: its longest segment's."""
    return _longest(unpack(reference)[0])[1].reference


def _longest(segments: Sequence[Segment]) -> tuple[int, Segment]:
    return max(enumerate(segments), key=lambda item: len(item[1].tokens))


def _spoken(text: str) -> str:
    """The words of a text to say: without its dialect and its sounds."""
    text = text.strip()
    for prefix in DIALECTS:
        text = text.removeprefix(prefix)
    for sound in SOUNDS:
        text = text.replace(f"[{sound}]", " ")
    return " ".join(text.split())


def _run(networks: Networks, jobs: Sequence[_Job], watch: Watch | None) -> list[Generated]:
    """The model's answers. Raises Cancelled, EngineError."""
    tell, counts = progress_teller(), [0] * len(jobs)
    if watch is not None:
        watch.begin([(job.take, job.segment) for job in jobs])

    def progress(place: int, ids: int) -> None:
        counts[place] = ids
        tell(sum(counts))

    def written(place: int, ids: Sequence[int], is_all: bool) -> None:
        assert watch is not None
        watch.written(jobs[place].take, jobs[place].segment, ids, is_all)

    found: list[Generated] = networks.writer.answer(
        [job.request for job in jobs],
        is_urgent=is_urgent(),
        progress=progress,
        written=None if watch is None else written,
        cancelled=is_cancelled,
    )
    if any(result.stop == "cancelled" for result in found):
        raise Cancelled("the edit was cancelled", remedy="Nothing half-made was kept.")
    return found


def _tokens(result: Generated, kind: str) -> Codes:
    if result.stop == "budget":
        logger.warning(
            "the model did not come to an end within %.1f s in '%s'; it was cut off there. "
            "Try another seed",
            len(result.ids) // GROUP * GROUP_S,
            kind,
        )
    return from_lm(result.ids)


def around_after(around: Around, edits: Sequence[Edit], number: int) -> Around:
    """What one pass of an edit of the speech means for what is not speech.

    edits, number: of one take, as for `edit_once`.
    """
    if not all(number < passes(one) for one in edits):
        return around  # there are pauses that stay
    after = {"denoise": Around.SILENCE, "vad": Around.NOTHING}
    return max(around, after.get(edits[0].kind, Around.SOURCE))


def _budget(edit: Edit, groups: int) -> int:
    """The most groups an edit may give for a segment of so many."""
    sounds = len(parse_sounds(edit.text)[1]) if edit.kind == "paralinguistic" else 0
    longer = LONGER.get(edit.value, USUALLY_LONGER) if edit.kind == "speed" else USUALLY_LONGER
    return math.ceil(groups * longer + (SPARE_S + sounds * SOUND_S) / GROUP_S)


def _least(edit: Edit, groups: int) -> int:
    """The fewest groups an edit may give for a segment of so many."""
    return 1 if edit.kind == "vad" else max(1, int(groups * SHORTEST))
