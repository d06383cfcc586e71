"""docs/ says what is there: its code runs, its links lead somewhere, no name and no room is left out."""

import importlib
import importlib.util
import inspect
import re
import types
from pathlib import Path

import jax
import pytest

import certunl as cu
from certunl import cli
from tests.test_layers import LAYERS, LEVEL

DOCS = Path(__file__).parents[1] / "docs"
FILES = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
PAGES = {str(path.relative_to(DOCS)): path.read_text() for path in FILES}
BLOCKS = re.compile(r"```python\n(.*?)```", re.DOTALL)
SMALLER = {'load("digits")': 'load("digits", train=100)', "epochs=10": "epochs=1", "size=50": "size=5"}


def extension(name):
    """A file of docs/ext, which needs no Sphinx."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "ext" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DOCSTRINGS, ROOMS = extension("docstrings"), extension("rooms")


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if BLOCKS.search(text)])
def test_the_examples_run(page, capsys):
    with jax.enable_x64(False):
        scope: dict = {}
        for block in BLOCKS.findall(PAGES[page]):
            for large, small in SMALLER.items():
                block = block.replace(large, small)
            exec(block, scope)


@pytest.mark.parametrize("page", PAGES)
def test_names_of_the_face_are_there(page):
    for name in set(re.findall(r"\bcu((?:\.[A-Za-z_]\w*)+)", PAGES[page])):
        thing = cu
        for part in name.removeprefix(".").split("."):
            assert hasattr(thing, part), f"cu{name}"
            thing = getattr(thing, part)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    here, text = (DOCS / page).parent, PAGES[page]
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text)
    links += [f"{name}.md" for name in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text)]
    for tree in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
        links += [f"{line}.md" for line in tree.splitlines() if line and not line.startswith(":")]
    for link in links:
        notebook = DOCS.parent / link.replace(".md", ".ipynb")  # copied when the pages are built
        assert (here / link).exists() or (link.startswith("notebooks/") and notebook.exists()), link


def test_every_name_of_the_face_is_on_its_page():
    text = PAGES["api/face.md"]
    shown = {}
    for path in re.findall(r"^   ~(certunl\.[\w.]+)$", text, re.MULTILINE):
        module, _, name = path.rpartition(".")
        shown[name] = getattr(importlib.import_module(module), name)
    for name in cu.__all__:
        thing = getattr(cu, name)
        if inspect.isclass(thing) or inspect.isfunction(inspect.unwrap(thing)):
            assert shown.get(name) is thing, name
        else:
            assert f"`cu.{name}" in text, name
    assert set(shown) <= set(cu.__all__)


ROOM_NAMES = sorted(set().union(*LAYERS))
FENCES = {room: page for page, text in PAGES.items() for room in ROOMS.FENCE.findall(text)}


@pytest.mark.parametrize("room", ROOM_NAMES)
def test_every_room_has_a_page_and_a_line_that_knows_its_floor(room):
    line = re.search(rf"^\| \[`{room}`\]\((api/\w+\.md)\) \| (\d) \| \S", PAGES["architecture.md"], re.MULTILINE)
    assert line, room
    assert int(line[2]) == LEVEL[room] + 1
    assert room == "cli" or FENCES[f"certunl.{room}"] == line[1]


def test_there_is_no_room_but_those():
    top = Path(cu.__path__[0])
    found = {path.stem for path in top.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} == set(ROOM_NAMES)
    assert "certunl.bounds.theorems" in FENCES


@pytest.mark.parametrize("room", cu.registry.ROOMS)
def test_a_page_shows_every_file_of_its_room(room):
    page = ROOMS.expanded(PAGES[FENCES[f"certunl.{room}"]])
    for name in cu.registry.names(room):
        assert f"\n.. automodule:: certunl.{room}.{name}\n" in page
    assert "{room}" not in page


def test_every_verb_is_explained():
    shown = re.findall(r"autofunction:: (certunl\.cli\S*)\.(\w+)$", PAGES["api/cli.md"], re.MULTILINE)
    things = {name: getattr(importlib.import_module(module), name) for module, name in shown}
    assert all(isinstance(thing, types.FunctionType) for thing in things.values())
    assert things == {verb.__name__: verb for verb in cli._VERBS} | {"main": cli.main}


SOURCE = "\n".join(path.read_text() for path in sorted(Path(cu.__path__[0]).rglob("*.py")))
TABLE = re.search(r"\| the sentence says.*?\n\n", PAGES["faq.md"], re.DOTALL)[0].splitlines()[2:-1]
QUOTED = [
    "for this request alone, because its own bound determines the noise",
    "none: the release is the un-noised model",
    "mostly noise",
]


@pytest.mark.parametrize("sentence", QUOTED + [row.split(" | ")[0].removeprefix("| ") for row in TABLE])
def test_what_is_quoted_is_said(sentence):
    assert sentence in PAGES["faq.md"] + PAGES["sharp-edges.md"]
    assert all(part in SOURCE for part in sentence.split(" ... "))


def test_a_formula_is_a_literal_block_and_prose_is_escaped():
    lines = ["x‖ <= |B| of a *b*, w_t and `run.x`s:", "", "    a' = H_t a", "      + b", "", "After `it` *."]
    assert DOCSTRINGS.as_rst(lines) == [
        r"x‖ <= \|B\| of a \*b\*, w\_t and ``run.x``\ s:",
        *("", "::", "", "        a' = H_t a", "          + b", "", r"After ``it`` \*.", ""),
    ]


def test_a_block_of_its_own_begins_without_an_empty_line_and_columns_make_one():
    assert DOCSTRINGS.as_rst(["Such:", "    x"]) == ["Such:", "", "::", "", "        x", ""]
    assert DOCSTRINGS.as_rst(["a     the first", "b     the second"])[:3] == ["::", "", "    a     the first"]


def test_arguments_are_a_list_and_what_follows_them_is_not():
    lines = ["F.", "", "Args:", "    a, b: two_ of", "        them: all.", "    c (int): one.", "", "Raises: BadInput."]
    assert DOCSTRINGS.as_rst(lines) == [
        *("F.", "", ":Parameters:", r"    * **a, b** -- two\_ of", "      them: all.", "    * **c (int)** -- one."),
        *("", "**Raises:** BadInput.", ""),
    ]


def test_lists_and_doctests_stay_and_code_over_two_lines_is_joined():
    assert DOCSTRINGS.as_rst(["One:", "* `a", "  b`: c", "  d", "", ">>> f(*x)", "|y|"]) == [
        *("One:", "", r"* ``a b``\ : c", "  d", "", ">>> f(*x)", "|y|", "")
    ]
