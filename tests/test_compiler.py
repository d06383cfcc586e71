"""The compiler's flags: those of another jaxlib are left out, and a process that would die says why."""

import pytest

from tests.compiler import FAST, Dies, known


def test_flags_of_another_jaxlib_are_left_out():
    assert known((FAST[0], "--xla_no_such_flag=true")) == FAST[0]


def test_a_process_that_would_die_says_why(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "no_such_platform")
    with pytest.raises(Dies, match=r"exit status 1: .*no_such_platform"):
        known(())
