"""However a program ends, what was saved is there; and what was not, if it could."""

import signal

import pytest

from faults.ending import FORM, WAYS
from faults.generations import saved
from faults.programs import Program

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals of POSIX"),
]

SIGNALS = {
    "default SIGTERM": signal.SIGTERM,
    "handled SIGTERM": signal.SIGTERM,
    "SIGINT in a block": signal.SIGINT,
}

#: Nothing of the program runs any more, and Python lets nobody see it.
AT_ONCE = {"exit at once"}
#: The program is ended by the signal, as it would be without us.
CODES = {"default SIGTERM": -signal.SIGTERM}


@pytest.mark.parametrize("how", WAYS)
def test_the_end_saves_what_is_unsaved_or_leaves_the_saved_state(tmp_path, how):
    """Unsaved changes are saved unless the process ends at once; nothing is torn."""
    with Program("ending", how, tmp_path / "data") as program:
        assert program.line() == "ready"
        if how in SIGNALS:
            program.process.send_signal(SIGNALS[how])

        code, _, errors = program.end()

    assert (code, errors) == (CODES.get(how, 0), "")
    assert saved(tmp_path / "data", FORM) == (1 if how in AT_ONCE else 2)
