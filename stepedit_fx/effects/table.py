"""Every built-in pedalboard effect: what it does, its parameters and their real ranges.

One table of facts; checks, rendering, help, documentation and JSON Schema all derive from it.
Names and defaults are pedalboard's (0.9.26). Ranges are narrower than what it lets through:
found by running each effect at and past its limits, they end where the sound breaks, turns
silent or stops changing (tests/effects/test_table.py walks them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["number", "switch", "choice", "file"]


@dataclass(frozen=True)
class Param:
    """One parameter of an effect.

    kind: number (low to high, in unit), switch (true or false), choice (one of choices), file
    (a path). default: pedalboard's; None where there is none and it must be given. curve: how a
    knob travels the range (linear, log). fixed: why it cannot change over time, empty where it
    can. below_nyquist: the value is a frequency that the audio must be able to hold.
    """

    name: str
    help: str
    kind: Kind = "number"
    default: float | bool | str | None = None
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    curve: str = "linear"
    choices: tuple[str, ...] = ()
    fixed: str = ""
    below_nyquist: bool = False

    @property
    def automatable(self) -> bool:
        return self.kind == "number" and not self.fixed


@dataclass(frozen=True)
class EffectSpec:
    """One effect: its pedalboard class's name, its group, a line of help, its parameters.

    whole: why it must hear the whole sound at once, empty where it gives the same in blocks.
    each_above: with more channels than this, each channel is processed on its own, because
    pedalboard folds, refuses or skips them (0: pedalboard takes any number as it should).
    rates_hz: the only sample rates it takes; empty: any.
    """

    name: str
    group: str
    help: str
    params: Mapping[str, Param]
    whole: str = ""
    each_above: int = 0
    rates_hz: tuple[int, ...] = ()


def _number(
    name: str, default: float, low: float, high: float, unit: str, help: str, curve: str = "linear"
) -> Param:
    return Param(name, help, "number", default, low, high, unit, curve)


def _share(name: str, default: float, help: str) -> Param:
    return Param(name, help, "number", default)


def _frequency(name: str, default: float, low: float, high: float, help: str) -> Param:
    return Param(name, help, "number", default, low, high, "Hz", "log", below_nyquist=True)


def _spec(
    name: str,
    group: str,
    help: str,
    *params: Param,
    whole: str = "",
    each_above: int = 0,
    rates_hz: tuple[int, ...] = (),
) -> EffectSpec:
    by_name = MappingProxyType({p.name: p for p in params})
    return EffectSpec(name, group, help, by_name, whole, each_above, rates_hz)


# Half the highest rate this package reads; the audio's own Nyquist frequency is checked as well.
_TOP_HZ = 96_000.0
_Q = 0.7071067690849304  # Butterworth, as pedalboard's float32 reads back
_RESAMPLERS = (
    "ZeroOrderHold",
    "Linear",
    "CatmullRom",
    "Lagrange",
    "WindowedSinc",
    "WindowedSinc8",
    "WindowedSinc16",
    "WindowedSinc32",
    "WindowedSinc64",
    "WindowedSinc128",
    "WindowedSinc256",
)
_LADDER_MODES = ("LPF12", "HPF12", "BPF12", "LPF24", "HPF24", "BPF24")
_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def _bell(name: str, help: str) -> EffectSpec:
    return _spec(
        name,
        "filter",
        help,
        _frequency("cutoff_frequency_hz", 440.0, 10.0, _TOP_HZ, "Where it acts."),
        _number("gain_db", 0.0, -48.0, 48.0, "dB", "Boost, or cut when negative."),
        _number("q", _Q, 0.1, 40.0, "", "Narrowness: higher is narrower.", "log"),
    )


def _attack(help: str) -> Param:
    return _number("attack_ms", 1.0, 0.0, 1000.0, "ms", help)


def _release(help: str, low: float = 1.0) -> Param:
    return _number("release_ms", 100.0, low, 5000.0, "ms", help, "log")


_MIX = _share("mix", 0.5, "Share of the effect; 0 is dry, 1 is effect alone.")
_SWEEP_HZ = _number("rate_hz", 1.0, 0.0, 100.0, "Hz", "Speed of the sweep.")
# 1 and beyond does not die away: pedalboard's output grew to 1e25 at 1.5.
_FEEDBACK = _number("feedback", 0.0, -0.95, 0.95, "", "Share fed back; negative turns its phase.")
_DELAY_LINE = "its delay line jumps from block to block, which crackles"

_ROWS = (
    _spec(
        "Gain",
        "level",
        "Louder or softer.",
        _number("gain_db", 1.0, -100.0, 60.0, "dB", "Gain."),
    ),
    _spec("Invert", "level", "Turns the polarity over; heard only against something else."),
    _spec(
        "HighpassFilter",
        "filter",
        "Takes lows away, 6 dB an octave below the cut-off.",
        _frequency("cutoff_frequency_hz", 50.0, 1.0, _TOP_HZ, "3 dB down here."),
    ),
    _spec(
        "LowpassFilter",
        "filter",
        "Takes highs away, 6 dB an octave above the cut-off.",
        _frequency("cutoff_frequency_hz", 50.0, 1.0, _TOP_HZ, "3 dB down here."),
    ),
    _bell("PeakFilter", "Boosts or cuts around a frequency."),
    _bell("LowShelfFilter", "Boosts or cuts everything below a frequency."),
    _bell("HighShelfFilter", "Boosts or cuts everything above a frequency."),
    _spec(
        "LadderFilter",
        "filter",
        "Resonant filter after Moog's ladder.",
        Param(
            "mode",
            "Lowpass, highpass or bandpass; dB an octave.",
            "choice",
            "LPF12",
            choices=_LADDER_MODES,
        ),
        _frequency("cutoff_hz", 200.0, 10.0, _TOP_HZ, "Cut-off."),
        _share("resonance", 0.0, "Emphasis at the cut-off."),
        _number("drive", 1.0, 1.0, 100.0, "", "Overdrive inside the filter.", "log"),
    ),
    _spec(
        "Compressor",
        "dynamics",
        "Makes loud parts softer; each channel is measured by itself.",
        _number("threshold_db", 0.0, -80.0, 0.0, "dB", "Level above which it acts."),
        _number("ratio", 1.0, 1.0, 100.0, "", "Decibels in for one decibel out.", "log"),
        _attack("Time to take hold."),
        _release("Time to let go."),
    ),
    _spec(
        "NoiseGate",
        "dynamics",
        "Makes soft parts softer; each channel is measured by itself.",
        _number("threshold_db", -100.0, -100.0, 0.0, "dB", "Level below which it acts."),
        _number("ratio", 10.0, 1.0, 100.0, "", "How firmly it closes.", "log"),
        _attack("Time to open."),
        _release("Time to close."),
    ),
    _spec(
        "Limiter",
        "dynamics",
        "Makes all of it louder: two compressors, make-up gain and a clip at full scale.",
        _number("threshold_db", -10.0, -60.0, 0.0, "dB", "Level above which it acts."),
        _release("Time to let go."),
    ),
    _spec(
        "BrickwallLimiter",
        "dynamics",
        "Keeps peaks under a ceiling without make-up gain; channels move together.",
        _number("ceiling_db", -1.0, -60.0, 0.0, "dB", "Highest peak."),
        _release("Time to let go."),
        _number("lookahead_ms", 5.0, 0.2, 100.0, "ms", "How far it looks ahead.", "log"),
        Param("true_peak", "Catch peaks between samples too (4x oversampled).", "switch", False),
        whole="it looks ahead",
    ),
    _spec(
        "Clipping",
        "distortion",
        "Clips hard at a level.",
        _number("threshold_db", -6.0, -60.0, 0.0, "dB", "Level of the clip."),
    ),
    _spec(
        "Distortion",
        "distortion",
        "Overdrive: tanh of the amplified signal.",
        _number("drive_db", 25.0, -24.0, 60.0, "dB", "Gain before the curve."),
    ),
    _spec(
        "Bitcrush",
        "lossy",
        "Fewer levels a sample.",
        _number("bit_depth", 8.0, 1.0, 32.0, "bit", "Levels, as a power of two."),
    ),
    _spec(
        "Resample",
        "lossy",
        "Down to a sample rate and back up, with the resampler's own artefacts.",
        _number("target_sample_rate", 8000.0, 200.0, 192_000.0, "Hz", "Rate between.", "log"),
        Param(
            "quality",
            "Resampler, crudest first.",
            "choice",
            "WindowedSinc32",
            choices=_RESAMPLERS,
        ),
        whole="its resampler holds samples back",
    ),
    _spec(
        "GSMFullRateCompressor",
        "lossy",
        "A 2G mobile phone; each channel makes a call of its own.",
        Param(
            "quality",
            "Resampler to 8 kHz and back, crudest first.",
            "choice",
            "WindowedSinc8",
            choices=_RESAMPLERS,
        ),
        whole="the GSM coder works in frames of 20 ms",
        each_above=1,
    ),
    _spec(
        "MP3Compressor",
        "lossy",
        "Coded to MP3 and back; above two channels each is coded by itself.",
        _number("vbr_quality", 2.0, 0.0, 9.9, "", "0 is best, 9.9 is worst."),
        whole="the MP3 coder works in frames",
        each_above=2,
        rates_hz=_MP3_RATES_HZ,
    ),
    _spec(
        "Chorus",
        "modulation",
        "Adds a copy that wavers in pitch; with a short delay and feedback, a flanger.",
        _SWEEP_HZ,
        _share("depth", 0.25, "Depth of the wavering."),
        Param(
            "centre_delay_ms",
            "Delay it wavers about.",
            "number",
            7.0,
            1.0,
            100.0,
            "ms",
            "log",
            fixed=_DELAY_LINE,
        ),
        _FEEDBACK,
        _MIX,
    ),
    _spec(
        "Phaser",
        "modulation",
        "Notches that sweep up and down.",
        _SWEEP_HZ,
        _share("depth", 0.5, "Depth of the sweep."),
        _frequency("centre_frequency_hz", 1300.0, 20.0, 20_000.0, "Frequency swept about."),
        _FEEDBACK,
        _MIX,
    ),
    _spec(
        "Delay",
        "space",
        "An echo.",
        Param(
            "delay_seconds",
            "Time to the echo.",
            "number",
            0.5,
            0.0,
            30.0,
            "s",
            fixed=_DELAY_LINE,
        ),
        _number("feedback", 0.0, 0.0, 0.99, "", "Share fed back: more echoes."),
        _MIX,
    ),
    _spec(
        "Reverb",
        "space",
        "A room (Freeverb); above two channels each has a mono room of its own.",
        _share("room_size", 0.5, "Size of the room: how long it rings."),
        _share("damping", 0.5, "How fast the highs die away."),
        _share("wet_level", 0.33, "Level of the room."),
        _share("dry_level", 0.4, "Level of the source."),
        _share("width", 1.0, "Stereo width of the room."),
        Param(
            "freeze_mode",
            "From 0.5 the room rings for ever and takes nothing in.",
            "number",
            0.0,
            fixed="it is a switch at 0.5",
        ),
        each_above=2,
    ),
    _spec(
        "Convolution",
        "space",
        "The sound of a room or a loudspeaker, from its impulse response (level evened out).",
        Param(
            "impulse_response_filename",
            "Audio file, mono or stereo, relative to the graph's folder.",
            "file",
        ),
        _share("mix", 1.0, "Share of the effect; 0 is dry, 1 is effect alone."),
        each_above=2,
    ),
    _spec(
        "PitchShift",
        "pitch",
        "Higher or lower at the same pace (Rubber Band); formants move along.",
        _number("semitones", 0.0, -24.0, 24.0, "st", "Interval; 12 is an octave."),
        whole="Rubber Band works in windows",
    ),
)

EFFECTS: Mapping[str, EffectSpec] = MappingProxyType({spec.name: spec for spec in _ROWS})

# What the table leaves out of pedalboard's plugin classes, and why.
LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "Plugin": "base class",
        "IIRFilter": "base class",
        "PluginContainer": "base class",
        "ExternalPlugin": "base class",
        "Chain": "a form of its own: {Chain: [...]}",
        "Mix": "a form of its own: {Mix: [[...], [...]]}",
        "Pedalboard": "what a chain becomes",
        "VST3Plugin": "a form of its own: {VST3: {path: ...}}",
        "AudioUnitPlugin": "a form of its own: {AudioUnit: {path: ...}}",
    }
)
