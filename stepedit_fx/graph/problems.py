"""What is wrong in a graph, gathered up to a point."""

from __future__ import annotations

from collections.abc import Iterable

from stepedit_fx.errors import GraphError, Problem

# More help nobody, and finding the nearest right word for thousands takes minutes.
MAX_PROBLEMS = 100


class Problems(list[Problem]):
    """A list that raises GraphError with all it holds when it is full."""

    def append(self, problem: Problem) -> None:
        super().append(problem)
        if len(self) >= MAX_PROBLEMS:
            more = Problem("and maybe more; mend these first", problem.file)
            raise GraphError([*in_file_order(self), more])

    def extend(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.append(problem)


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line, problem.column))
