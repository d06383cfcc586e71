"""The two exceptions of the house."""

__all__ = ["BadInput", "Diverged"]


class BadInput(ValueError):
    """What was asked cannot be done: one sentence with what was expected, what came, and what to do."""


class Diverged(ArithmeticError):
    """A computation left the finite numbers or its guarantee: the measured facts, and what to change."""
