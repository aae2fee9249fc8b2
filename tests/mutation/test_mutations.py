"""Mutation proof: each fault that is planted in a copy of the library is found."""

from pathlib import Path

import pytest

from faults.sampling import SOAK, fewer, sample
from mutation.copies import ROOT, findings, library, plant, with_fault
from mutation.kit import TOOLS
from mutation.planted import FAULTS, Fault
from mutation.table import MARK, PAGE, row

#: From all over the list, found by different tools; a soak plants all.
TRIED = sample(FAULTS, fewer(1, 2), "fault")


@pytest.mark.parametrize("fault", TRIED, ids=lambda fault: fault.what)
def test_a_planted_fault_is_found(fault: Fault, tmp_path: Path) -> None:
    """The tool that is named finds it, and in a soak those before it do not."""
    plant(fault, library(tmp_path))
    tools = list(TOOLS) if SOAK else [fault.caught_by]

    found = findings(tools, tmp_path)

    assert [each.tool for each in found if each.said] == [fault.caught_by]


@pytest.mark.deep("it runs the tools on a copy")
def test_without_a_fault_nothing_is_found(tmp_path: Path) -> None:
    """The tools that find faults pass the library as it is."""
    library(tmp_path)
    tools = [name for name in TOOLS if any(name == f.caught_by for f in TRIED)]

    found = findings(tools, tmp_path)

    assert [each for each in found if each.said] == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_fault_can_be_planted(fault: Fault) -> None:
    """What it replaces stands in its file just once, and what comes of it is Python."""
    path, text = with_fault(fault, ROOT)

    assert compile(text, path, "exec")


def test_there_are_at_least_25_faults_with_names_of_their_own() -> None:
    """And each tool is needed: it is the first that finds one of them."""
    assert len({fault.what for fault in FAULTS}) == len(FAULTS) >= 25
    assert {fault.caught_by for fault in FAULTS} == {*TOOLS}


def test_the_page_names_each_fault_and_who_finds_it_first() -> None:
    """It was written for these faults: ``python -m mutation.table``."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if MARK in line]

    assert len(rows) == len(FAULTS)
    for fault, line in zip(FAULTS, rows, strict=True):
        before = [""] * [*TOOLS].index(fault.caught_by)
        assert line.startswith(row(fault.what, f"`{fault.path}`", *before, MARK)[:-2])
