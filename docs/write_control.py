"""Write the tables of addresses into docs/control.md, between its marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stepedit_fx.nodes import INTERNAL, NODES
from stepedit_fx.nodes.base import Node
from stepedit_fx.osc.commands import ANSWERS, CODES, COMMANDS

DOC = Path(__file__).with_name("control.md")
START = "<!-- From here to the next mark written by docs/write_control.py. -->\n"
END = "<!-- The end of what docs/write_control.py writes. -->\n"


def markdown() -> str:
    """The tables: commands, answers, codes, controls."""
    return "\n".join(
        (
            "### Commands\n",
            "In brackets what may be left out; T is on or off, and takes 1 and 0 too. "
            "The id is any number of yours; it comes back in every answer.\n",
            *_table(("Address", "Tags", "Arguments", "What it does", "Answer"), _commands()),
            "### Answers and events\n",
            "Events go to those who subscribe to their address.\n",
            *_table(("Address", "Tags", "What it says"), _answers()),
            "### Codes of errors\n",
            *_table(("Code", "Meaning"), ((str(code), text) for code, text in CODES.items())),
            "### Controls\n",
            "Below `/stepedit/node/<id>/`, with the node's id in the graph; "
            "`stepedit-fx osc browse` lists those of a running daemon. A parameter takes a "
            "number, also by its place on a knob at `.../norm` (0 to 1); a choice takes its name, "
            "or its place in the list; a switch true or false, 1 or 0.\n",
            *_table(("Node", "Address", "Tag", "Range", "Unit", "Help"), _controls()),
        )
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _commands() -> Iterator[tuple[str, ...]]:
    for one in COMMANDS.values():
        arguments = ", ".join(one.args)
        yield f"`{one.address}`", f"`{one.tags}`", arguments, one.help, one.answer


def _answers() -> Iterator[tuple[str, ...]]:
    for one in ANSWERS.values():
        kind = "Event: " if one.is_event else ""
        yield f"`{one.address}`", f"`{one.tags}`", kind + one.help


def _controls() -> Iterator[tuple[str, ...]]:
    for kind, node in NODES.items():
        if kind not in INTERNAL:
            yield from _fields(kind, node)
    yield (
        *("effects", "`<id>.<place>/bypass`", "T", "", ""),
        "Pass the sound by this effect. Places count from 0; in a Mix or Chain one a level: "
        "`rack.2.0.1`.",
    )
    yield (
        *("effects", "`<id>.<place>/param/<name>`", "f T s", "", ""),
        "Each parameter of [effects.md](effects.md#every-effect), but for files.",
    )
    yield "mix", "`<id>.<input>/param/gain_db`", "f", "-100 to 24", "dB", "Level of one input."
    yield (
        *("mix", "`<id>.<input>/param/pan`", "f", "-1 to 1", ""),
        "Place of one input, where the graph gives places.",
    )


def _fields(kind: str, node: type[Node]) -> Iterator[tuple[str, ...]]:
    schema = node.model_json_schema()["properties"]
    for name, info in node.model_fields.items():
        extra = info.json_schema_extra
        if not isinstance(extra, dict) or not extra.get("live"):
            continue
        field = schema[name]
        one = next((o for o in field.get("anyOf", ()) if o.get("type") != "null"), field)
        low, high = one.get("minimum"), one.get("maximum")
        yield (
            kind,
            f"`<id>/{name}`" if name == "bypass" else f"`<id>/param/{name}`",
            {"boolean": "T", "integer": "i", "number": "f"}.get(one["type"], "s"),
            "" if low is None else f"{low} to {high}",
            str(extra.get("unit", "")),
            info.description or "",
        )


def main() -> None:
    text = DOC.read_text(encoding="utf-8")
    head, _, rest = text.partition(START)
    tail = rest.partition(END)[2]
    DOC.write_text(f"{head}{START}\n{markdown()}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
