"""The manifest: what it says counts, what it cannot say does no harm."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from faults.database import backups, flip, found, main, make_catalog, make_engine
from stand_ins import Log
from storify.engine.file.manifest import Manifest, Sum, read_manifest, write_manifest


@pytest.mark.parametrize(
    "bad", [b"", b"{}", b"[]", b"null", b"\xff", b'{"check": 1}', b"[" * 100_000]
)
def test_a_damaged_record_condemns_no_good_file(folder, bad):
    """The file is judged by itself, and watched again."""
    manifest = backups(folder) / ".sum"
    manifest.write_bytes(bad)
    log = Log()

    assert found(make_engine(folder, log=log)) == 3
    assert "damaged" in log.warnings[0]
    flip(main(folder))
    assert found(make_engine(folder)) == 3


def test_a_flipped_digit_in_the_record_condemns_no_good_file(folder):
    """The manifest has a checksum of its own."""
    manifest = backups(folder) / ".sum"
    lines = []
    for line in filter(None, manifest.read_bytes().splitlines()):
        tree = json.loads(line)
        for which in ("current", "next"):
            if tree[which]:
                tree[which]["sha256"] = "0" * 64
        lines.append(json.dumps(tree))
    manifest.write_text("\n".join(lines))
    log = Log()

    assert found(make_engine(folder, log=log)) == 3
    assert "its own checksum is wrong" in log.warnings[0]


def test_a_record_cut_at_any_length_condemns_no_good_file(folder):
    """As a crash leaves it: its second line is not synced, and says no more."""
    manifest = backups(folder) / ".sum"
    whole = manifest.read_bytes()
    first = len(whole.splitlines(keepends=True)[0])
    for length in range(len(whole)):
        manifest.write_bytes(whole[:length])
        log = Log()

        assert found(make_engine(folder, log=log)) == 3
        # The line itself is whole without its end.
        assert bool(log.warnings) == (length < first - 1)


SUM = Sum(7, 1_700_000_000_123_456_789, "0f" * 32, "20261123T054100.000000Z")


@pytest.mark.parametrize("current", [None, SUM, SUM._replace(follows="ab+1.0f")])
@pytest.mark.parametrize("later", [None, SUM])
@pytest.mark.parametrize("since", [None, "20261123T054100.000000Z", 'ü"\\'])
def test_a_record_is_written_as_json_does_it(tmp_path, current, later, since):
    """So it is what an older release checks; and that one's, with the check first, too."""
    path, manifest = str(tmp_path / ".sum"), Manifest(current, later, since)
    write_manifest(path, manifest, "x")
    tree = json.loads(Path(path).read_bytes())
    check = tree.pop("check")
    text = json.dumps(tree, sort_keys=True)

    assert Path(path).read_text() == f'{text[:-1]}, "check": "{check}"}}\n'
    assert check == sha256(text.encode()).hexdigest()[:16]
    assert read_manifest(path) == manifest
    Path(path).write_text(json.dumps({"check": check, **tree}))
    assert read_manifest(path) == manifest


def test_a_damaged_record_and_a_lost_file_are_a_loss(folder):
    """There was a database once."""
    (backups(folder) / ".sum").write_bytes(b"x")
    main(folder).unlink()

    assert make_catalog(folder).exists("users")
    assert found(make_engine(folder)) == 3
    assert found(make_engine(folder)) == 3
