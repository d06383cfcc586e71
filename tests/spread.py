"""Work on one device beside the same work on two, and what a compiled program exchanges."""

import re

import jax

import certunl as cu

TWO = jax.devices()[:2]
COLLECTIVE = re.compile(r" (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(-start)?\(")


def spread_over(devices, work):
    """(the result of `work` on one device, that on `devices`)."""
    alone = work()
    with cu.use_mesh(devices):
        return alone, work()


def collectives(text):
    """(name, place in the Python program) of each collective operation of a compiled program."""
    found = [COLLECTIVE.search(line) for line in text.splitlines()]
    places = [re.search(r'op_name="([^"]*)"', match.string) for match in found if match]
    return [(match[1], place[1]) for match, place in zip(filter(None, found), places, strict=True)]
