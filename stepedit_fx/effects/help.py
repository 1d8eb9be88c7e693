"""What there is to say about effects, as data: the command line and the docs print it."""

from __future__ import annotations

from dataclasses import dataclass

from stepedit_fx.effects.reading import EXTERNAL_FORMS
from stepedit_fx.effects.table import EFFECTS, EffectSpec, Param
from stepedit_fx.errors import EffectError, did_you_mean

FORMS = {
    "Mix": "Branches that hear the same sound, summed: {Mix: [[...], [...]]}.",
    "Chain": "Effects as one, to bypass them together: {Chain: [...]}.",
    "VST3": "A VST3 plugin from a folder allowed by --allow-plugins: {VST3: {path: ...}}.",
    "AudioUnit": "An Audio Unit (macOS), likewise: {AudioUnit: {path: ...}}.",
}


@dataclass(frozen=True)
class EffectLine:
    """One effect in a list."""

    name: str
    group: str
    help: str


@dataclass(frozen=True)
class ParamLine:
    """One parameter of an effect; values as text. over_time: yes, or why not."""

    name: str
    range: str
    unit: str
    default: str
    over_time: str
    help: str


def effect_lines() -> list[EffectLine]:
    """Every effect by group, then the forms that are no effects themselves."""
    built_in = [EffectLine(s.name, s.group, s.help) for s in EFFECTS.values()]
    return [*built_in, *(EffectLine(name, "form", text) for name, text in FORMS.items())]


def param_lines(name: str) -> list[ParamLine]:
    """Every parameter of an effect. Raises EffectError, with the nearest name, if unknown."""
    if name in FORMS:
        return []
    if name not in EFFECTS:
        known = [*EFFECTS, "Mix", "Chain", *EXTERNAL_FORMS]
        raise EffectError(f"unknown effect '{name}'", remedy=did_you_mean(name, known))
    spec = EFFECTS[name]
    return [_line(spec, param) for param in spec.params.values()]


def markdown() -> str:
    """The table of every effect and parameter, as docs/effects.md holds it."""
    blocks = []
    for spec in EFFECTS.values():
        blocks += [f"### {spec.name}", "", f"{spec.help} ({spec.group})", ""]
        if not spec.params:
            continue
        blocks += [
            "| parameter | range | unit | default | over time | |",
            "|---|---|---|---|---|---|",
        ]
        for p in param_lines(spec.name):
            cells = (f"`{p.name}`", p.range, p.unit, p.default, p.over_time, p.help)
            blocks.append(f"| {' | '.join(cells)} |")
        blocks.append("")
    return "\n".join(blocks)


def _line(spec: EffectSpec, param: Param) -> ParamLine:
    default = "required" if param.default is None else _text(param.default)
    if param.kind != "number":
        over_time = "no"
    else:
        reason = spec.whole or param.fixed
        over_time = f"no: {reason}" if reason else "yes"
    return ParamLine(param.name, _range(param), param.unit, default, over_time, param.help)


def _range(param: Param) -> str:
    if param.kind == "switch":
        return "true, false"
    if param.kind == "choice":
        return ", ".join(param.choices)
    if param.kind == "file":
        return "a path"
    top = f"{param.high:g}"
    return f"{param.low:g} to {top}{', under half the sample rate' * param.below_nyquist}"


def _text(value: float | bool | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{value:.4g}"
