"""The examples in docstrings say what happens."""

import doctest
import importlib
import pkgutil

import pytest

import certunl

MODULES = [m.name for m in pkgutil.walk_packages(certunl.__path__, "certunl.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 5
