"""Small machines whose flaws are known, for tests of the checker itself."""

from __future__ import annotations

from typing import Any

from modelcheck.engine import Machine, Steps, chance, goal, law, ours, rule


class Counter(Machine):
    """Counts to `top` by ones or, by chance, by twos; the numbers above `allowed` are against the law."""

    def __init__(self, top: int, allowed: int) -> None:
        self.top, self.allowed = top, allowed
        self.fields = {"number": tuple(range(top + 1)), "light": (False, True)}
        self.start = {"number": 0, "light": False}
        self.prepare()

    @rule("number")
    def add_one(self, s: Any) -> Steps:
        """One more."""
        if s.number < self.top:
            yield ours("add one", number=s.number + 1)

    @rule("number")
    def add_two(self, s: Any) -> Steps:
        """Two more, if so it happens."""
        if s.number + 1 < self.top:
            yield chance("add two", number=s.number + 2)

    @law("the number is allowed", "number")
    def law_allowed(self, s: Any) -> bool:
        """The planted bug is a low limit."""
        return bool(s.number <= self.allowed)

    @goal("the top is reached", "number")
    def goal_top(self, s: Any) -> bool:
        """Where every count should be able to end."""
        return bool(s.number == self.top)


class Trap(Counter):
    """Counts and steps over two, a hole that only chance leads into and out of."""

    @rule("number")
    def add_one(self, s: Any) -> Steps:
        """On the way that can be counted on: 0, 1, 3, 4."""
        if s.number != 2 and s.number < self.top:
            yield ours("add one", number=s.number + (2 if s.number == 1 else 1))


class Peeper(Counter):
    """Has a rule that looks at a field it does not name."""

    @rule("number")
    def add_one(self, s: Any) -> Steps:
        """Depends on what it did not declare."""
        if not s.light:
            yield ours("add one", number=s.number + 1)
