"""Requests in words: ids and owners from files, owners by their own names, and everything that is not there."""

import numpy as np
import pytest

import certunl as cu
from certunl.requests import parse
from tests.cases import KEY, network, trained

NAMES = {"anna@example.org": 0, "bob": 1, "Ada, Countess": 2, "4": 3, "@home": 4}


@pytest.fixture(scope="module")
def run():
    whole = trained(network(owners=np.arange(30) % 5))
    return whole.minus([4, 9, 14, 19, 24, 29], whole.params)  # all of owner 4


def ids_of(run, *owners):
    return np.flatnonzero(np.isin(np.asarray(run.problem.data.owners), owners)).tolist()


@pytest.mark.parametrize(
    "content", ["5\n3\n", "3, 5", "# order 17\n\n 5 ,\n  # and\n3\n3\n", "\ufeff3\r\n5\r\n", '"3"\n5,']
)
def test_a_file_lists_ids_by_line_or_comma_and_comments_are_left_out(run, tmp_path, content):
    (tmp_path / "ids").write_text(content, encoding="utf-8", newline="")
    assert parse(f"ids:@{tmp_path / 'ids'}", KEY, run).tolist() == [3, 5]


def test_owners_have_their_own_names_in_words_and_in_files(run, tmp_path):
    assert parse("owner:bob", KEY, run, (), NAMES).tolist() == ids_of(run, 1)
    assert parse("owner:anna@example.org, bob", KEY, run, owner_names=NAMES).tolist() == ids_of(run, 0, 1)
    assert parse('owner:bob,"Ada, Countess"', KEY, run, owner_names=NAMES).tolist() == ids_of(run, 1, 2)
    assert parse("owner:4", KEY, run, owner_names=NAMES).tolist() == ids_of(run, 3)
    assert parse("owner:1,3", KEY, run).tolist() == ids_of(run, 1, 3)
    (tmp_path / "gone.txt").write_text('# asked on Monday\nbob\n"Ada, Countess"\n')
    assert parse(f"owner:@{tmp_path / 'gone.txt'}", KEY, run, owner_names=NAMES).tolist() == ids_of(run, 1, 2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("3\nx\n", "line 2 of .*: an id must be a whole number, got 'x'"),
        ("# nothing\n\n", "names nothing"),
        ("3\n99\n", "ids 0 to 29"),
        ("1.5", "whole number"),
        ('3\n"5\n', "line 2 of .* has wrong quotes"),
        ("9" * 40, "whole numbers"),
        (",,\n", "names nothing"),
    ],
)
def test_a_file_of_ids_that_cannot_serve_is_refused_with_its_line(run, tmp_path, content, sentence):
    (tmp_path / "ids").write_text(content)
    with pytest.raises(cu.BadInput, match=sentence):
        parse(f"ids:@{tmp_path / 'ids'}", KEY, run)


def test_a_file_that_cannot_be_read_is_named(run, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in (tmp_path / "missing", tmp_path, tmp_path / "binary"):
        with pytest.raises(cu.BadInput, match=f"the file {name} of the request cannot be read"):
            parse(f"ids:@{name}", KEY, run)


def test_rows_of_the_file_become_the_ids_of_training_examples(run, tmp_path):
    rows = np.delete(np.arange(len(run.problem.data) + 4), [0, 6, 11, 15])
    (tmp_path / "rows").write_text("# of the file\n1\n9, 7\n")
    assert parse("rows:1,7", KEY, run, rows=rows).tolist() == [0, 5]
    assert parse(f"rows:@{tmp_path / 'rows'}", KEY, run, rows=rows).tolist() == [0, 5, 7]
    for row in (6, 400, -1):
        with pytest.raises(cu.BadInput, match=rf"row {row} is no training example: .*; nothing was chosen"):
            parse(f"rows:1,{row}", KEY, run, rows=rows)
    with pytest.raises(cu.BadInput, match="a row must be a whole number, got 'x'"):
        parse("rows:x", KEY, run, rows=rows)
    with pytest.raises(cu.BadInput, match="no file of yours"):
        parse("rows:1", KEY, run)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("owner:bob,carol,dan", "no owner of the name 'carol', 'dan'; nothing was chosen"),
        ("owner:1", "no owner of the name '1'"),
        ("owner:,", "names nothing"),
        ('owner:"bob', "wrong quotes"),
        ('owner:"@home"', "owner '@home' is already forgotten; leave that owner out"),
    ],
)
def test_a_name_that_no_owner_has_is_refused_with_all_such_names(run, words, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        parse(words, KEY, run, owner_names=NAMES)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda run: cu.requests.by_owner(run, [2, 99999, 77]), "no owner 77, 99999; nothing was chosen"),
        (lambda run: cu.requests.by_owner(run, [2, 4]), "all examples of owner 4 are already forgotten"),
        (lambda run: cu.requests.by_owner(run, [4, 99999]), "no owner 99999; nothing"),
        (lambda run: cu.requests.by_owner(run, ["bob"]), "owners must be whole numbers"),
        (lambda run: cu.requests.by_owner(run, [[1, 2]]), "owners must be whole numbers"),
        (lambda run: cu.requests.by_owner(run, 1.0), "owners must be whole numbers"),
        (lambda run: parse("owner:bob,2", KEY, run), "owners of these data are whole numbers, got 'bob'"),
        (lambda run: cu.requests.by_class(KEY, run, 9), "no present example is of class 9; there are 0, 1, 2$"),
        (lambda run: cu.requests.by_class(KEY, run, 1, 500), "cannot draw 500 examples"),
    ],
)
def test_an_owner_or_a_class_that_is_not_there_is_refused_whole(run, call, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        call(run)


def test_a_class_needs_one_label_per_example():
    data = cu.Dataset(np.ones((6, 2)), np.ones((6, 2)))
    run = trained(cu.regression(cu.models.Linear(classes=2, dtype="float64"), data))
    with pytest.raises(cu.BadInput, match=r"one label per example, but targets have shape \[2\]"):
        cu.requests.by_class(KEY, run, 1)
