"""`edit`: one file, no YAML. Builds the graph that a file would have said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from stepedit_fx.cli.common import (
    EngineOption,
    JsonOption,
    NoStoreOption,
    PluginsOption,
    StoreOption,
)
from stepedit_fx.errors import GraphError, RequestError

if TYPE_CHECKING:
    from stepedit_fx.provenance import GraphSource

_ORDER = "stepedit_fx.cli.edit.order"


class InOrder(TyperCommand):
    """Remembers the order in which options were typed, for they apply in it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[_ORDER] = [param.name for param in order]
        return super().parse_args(ctx, args)


EmotionOption = Annotated[
    list[str] | None,
    typer.Option(metavar="TAG[:STRENGTH]", help="As happy or sad:0.5; `tags emotion` lists."),
]
StyleOption = Annotated[
    list[str] | None,
    typer.Option(metavar="TAG[:STRENGTH]", help="As whisper; `tags style` lists."),
]
SpeedOption = Annotated[
    list[str] | None,
    typer.Option(metavar="TAG[:STRENGTH]", help='As faster or "more slower:0.5".'),
]
SayOption = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help='Sounds in their place: "Well, [Sigh] you came."'),
]
CloneOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="New words in the voice of IN: a sketch on the parametric engine, real on step-audio.",
    ),
]
PresetOption = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="All steps of a preset; `presets` lists.")
]
EffectOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:PARAM=VALUE,...]",
        help="As Reverb or Reverb:room_size=0.3,wet_level=0.1; `effects` lists.",
    ),
]
StrengthOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Of every edit typed that states none: 0 nothing, 1 in full."),
]


def edit(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN", help="The recording.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="wav, flac, ogg or mp3.")],
    emotion: EmotionOption = None,
    style: StyleOption = None,
    speed: SpeedOption = None,
    say: SayOption = None,
    clone: CloneOption = None,
    denoise: Annotated[bool, typer.Option("--denoise", help="Take background noise away.")] = False,
    vad: Annotated[bool, typer.Option("--vad", help="Take silent portions away.")] = False,
    preset: PresetOption = None,
    effect: EffectOption = None,
    strength: StrengthOption = None,
    engine: EngineOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of every random choice.")] = None,
    subtype: Annotated[str | None, typer.Option(help="Sample format, as PCM_16 or FLOAT.")] = None,
    store: StoreOption = None,
    no_store: NoStoreOption = False,
    allow_plugins: PluginsOption = None,
    show_graph: Annotated[
        bool, typer.Option("--show-graph", help="Print the graph this makes, and do nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Edit one file. Edits and effects apply in the order in which they are typed."""
    given = {
        "emotion": emotion,
        "style": style,
        "speed": speed,
        "say": say,
        "clone": clone,
        "denoise": denoise,
        "vad": vad,
        "preset": preset,
        "effect": effect,
    }
    links = _links(ctx.meta[_ORDER], {k: v for k, v in given.items() if v}, strength)
    text = _graph_text([*_merged(links)], target, subtype, seed, engine)
    if show_graph:
        typer.echo(text, nl=False)
        return
    from stepedit_fx.cli.run import render
    from stepedit_fx.takes import find_take

    render(
        _checked(text),
        [str(find_take(str(source)).path)],
        out_dir=target.parent,
        jobs=1,
        store=store,
        no_store=no_store,
        allow_plugins=allow_plugins,
        as_json=as_json,
    )


def _checked(text: str) -> GraphSource:
    """The source of a graph that nobody wrote: what is wrong in it is told without lines."""
    from stepedit_fx.provenance import GraphSource

    graph_source = GraphSource(text=text, file="<edit>", folder=Path.cwd())
    try:
        graph_source.graph()
    except GraphError as error:
        raise RequestError("\n".join(problem.message for problem in error.problems)) from error
    return graph_source


def _graph_text(
    chain: list[dict[str, Any]],
    target: Path,
    subtype: str | None,
    seed: int | None,
    engine: str | None,
) -> str:
    import yaml

    if not target.name:
        raise RequestError(f"'{target}' is no file name", remedy="OUT is a file, as out.wav.")
    # In a path braces hold a name; those that belong to the file's own come in as a value.
    is_template = "{" in target.name or "}" in target.name
    path = f"{{out}}{target.suffix}" if is_template else target.name
    output = {"path": path, **({"subtype": subtype} if subtype else {})}
    data = {
        "version": 1,
        "name": "edit",
        **({} if engine is None else {"engine": engine}),
        **({} if seed is None else {"seed": seed}),
        **({"vars": {"out": target.stem}} if is_template else {}),
        "chain": [*chain, {"output": output}],
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _links(
    order: list[str], given: dict[str, Any], strength: float | None
) -> Iterator[dict[str, Any]]:
    """The chain's items in typed order; every option gives its values one at a time."""
    waiting = {
        name: iter(value if isinstance(value, list) else [True]) for name, value in given.items()
    }
    common = {} if strength is None else {"strength": strength}
    for name in order:
        value = next(waiting.get(name, iter(())), None)
        if value is None:
            continue
        if name in ("emotion", "style", "speed"):
            tag, own = _tag(value)
            yield {name: {"value": tag, **common, **own}}
        elif name == "say":
            yield {"paralinguistic": {"text": value.replace("${", "$${"), **common}}
        elif name == "clone":
            yield {"clone": {"text": value.replace("${", "$${")}}
        elif name == "effect":
            yield {"effects": [_effect(value)]}
        elif name == "preset":
            yield from _preset(value)
        else:
            yield {name: dict(common)}


def _merged(links: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Effects typed one after another are one rack."""
    rack: list[Any] = []
    for link in links:
        if isinstance(link.get("effects"), list):
            rack += link["effects"]
            continue
        if rack:
            yield {"effects": rack}
            rack = []
        yield link
    if rack:
        yield {"effects": rack}


def _tag(text: str) -> tuple[str, dict[str, float]]:
    """ "happy:0.7" is ("happy", {"strength": 0.7})."""
    tag, colon, number = text.partition(":")
    if not colon:
        return tag, {}
    return tag, {"strength": _number(number, f"the strength in '{text}'")}


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RequestError(f"{what} must be a number, got '{text}'") from None


def _effect(text: str) -> Any:
    """ "Reverb:room_size=0.3" is {"Reverb": {"room_size": 0.3}}; numbers and words only."""
    name, colon, rest = text.partition(":")
    if not colon:
        return name
    params: dict[str, Any] = {}
    for pair in rest.split(","):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise RequestError(
                f"--effect takes NAME:PARAM=VALUE,..., got '{pair}' in '{text}'",
                remedy=f"`stepedit-fx effects {name}` lists its parameters.",
            )
        params[key.strip()] = _value(value.strip())
    return {name: params}


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _preset(name: str) -> list[dict[str, Any]]:
    """The chain of a preset, without its input and output. Raises GraphError for a file of one."""
    from stepedit_fx.graph.document import read_yaml
    from stepedit_fx.graph.tree import Map, Mark, plain
    from stepedit_fx.provenance import GraphSource
    from stepedit_fx.shipped import find_preset

    graph_source = GraphSource.load(find_preset(name))
    top = read_yaml(graph_source.text, Mark(graph_source.file), [])
    chain = top.get("chain") if isinstance(top, Map) else None
    if not isinstance(top, Map) or chain is None or top.get("vars") is not None:
        raise RequestError(
            f"preset '{name}' is no plain chain", remedy=f"Use `stepedit-fx run {name} IN`."
        )
    ends = ("input", "output")
    links = [{link: {}} if isinstance(link, str) else link for link in plain(chain)]
    return [link for link in links if not set(link) & set(ends)]
