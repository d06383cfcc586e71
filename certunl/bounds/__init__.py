"""How far from retraining an update can be: one theorem per file.

A bound is a function of named constants, none defaulted, that returns `(bound, assumptions)`; its docstring holds the
statement, its conditions and its proof or source. It never hides that it is no better than the trivial bound: the
certificate compares the two.
"""

from certunl.bounds.newton import newton_bound

__all__ = ["newton_bound"]
