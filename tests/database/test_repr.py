"""What a REPL and a notebook show is short at any size, and escaped."""

import io

from rich.console import Console
from rich.pretty import pretty_repr

from storify import Model, Storify


class Item(Model):
    """A record."""

    name: str
    _hidden: str = "hidden"


def test_few_records_show_as_a_dict():
    """As the dict that they are."""
    sf = Storify("memory://")
    sf["d"].update({"a": 1, "b": [2]})

    assert repr(sf["d"].data) == "{'a': 1, 'b': [2]}"
    assert repr(sf["d"].data.items()) == "dict_items([('a', 1), ('b', [2])])"
    sf.close(discard=True)


def test_many_records_show_the_first(tmp_path):
    """Also where they are on disk."""
    with Storify(tmp_path, save_interval=None) as sf:
        sf["d"].update({f"k{n}": "x" * 1000 for n in range(10_000)})
    with Storify(tmp_path, save_interval=None) as sf:
        data = sf["d"].data

        for shown in (repr(data), repr(data.items()), repr(data.values())):
            assert len(shown) < 6_000
            assert "9,980 more" in shown
        assert repr(data).startswith("{'k0': 'xxx")
        assert len(repr(sf["d"])) < 200


def test_a_notebook_shows_the_first_records_as_a_table():
    """What they hold is no HTML."""
    sf = Storify("memory://")
    db = sf.get_db("d", model=Item)
    db.update({f"<k{n}>": Item(f"<script>{n}</script>\u202e") for n in range(50)})

    for shown in (db._repr_html_(), db.where()._repr_html_()):
        assert "<script>" not in shown
        assert "&lt;script&gt;0&lt;/script&gt;" in shown
        assert shown.count("<tr>") == 21
        assert "\u202e" not in shown
        assert "hidden" not in shown
    assert "30 more" in db._repr_html_()
    assert "50" in sf._repr_html_()
    db.close(discard=True)
    assert "closed" in db._repr_html_()


def test_rich_shows_what_repr_tells():
    """Not all that is in it."""
    sf = Storify("memory://")
    sf["d"].update(dict.fromkeys(range(500)))

    out = io.StringIO()
    Console(file=out, width=200).print(sf["d"], sf)

    assert "records=500" in out.getvalue()
    assert len(pretty_repr(sf["d"])) < 100
    sf.close(discard=True)


def test_keys_are_completed():
    """Those of a Storify are names."""
    sf = Storify("memory://")
    sf["d"].update({"a": 1, 2: 3})

    assert sf["d"]._ipython_key_completions_() == ["a", 2]
    assert sf._ipython_key_completions_() == ["d"]
    sf["d"].close(discard=True)
