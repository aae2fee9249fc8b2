"""Threads that ask for one database at the same time get one object."""

import sys
import threading

import pytest

from faults.sampling import runs
from storify import Storify

THREADS, STEPS = 8, 40


@pytest.fixture
def _switching():
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(work):
    """Do it in so many threads, which begin at the same moment; raise what one does."""
    begin, errors = threading.Barrier(THREADS), []

    def run(number):
        begin.wait(30)
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]


@pytest.mark.usefixtures("_switching")
def test_what_threads_count_under_the_lock_is_exact(tmp_path):
    """Each looks the database up anew, also the first time."""
    for number in range(runs(5, 200)):
        sf = Storify(tmp_path / str(number), save_interval=None)

        def count(_, sf=sf):
            for _ in range(STEPS):
                with sf["visits"].lock:
                    sf["visits"]["n"] = sf["visits"].get("n", 0) + 1

        together(count)

        assert len(sf.databases) == 1
        sf.close()
        assert sf["visits"]["n"] == THREADS * STEPS
        sf.close()


@pytest.mark.usefixtures("_switching")
def test_threads_get_one_object(tmp_path):
    """Also of a database that exists already."""
    for number in range(runs(10, 400)):
        with Storify(tmp_path / str(number % 10), save_interval=None) as sf:
            sf["a"]["n"] = number
            sf["a"].close()
            found = []

            together(lambda _, sf=sf, found=found: found.append(sf["a"]))

            assert found == [sf["a"]] * THREADS
            assert sf["a"]["n"] == number


class Meanwhile(list):
    """A list that another thread gets hold of just before it is shortened."""

    def happen(self):
        """Do what the other thread does, once."""

    def __setitem__(self, at, value):
        self.happen()
        super().__setitem__(at, value)

    def remove(self, value):
        """Remove one, a moment later."""
        self.happen()
        super().remove(value)


@pytest.mark.parametrize(
    "step", [lambda sf: sf["a"], Storify.close], ids=["open", "close"]
)
def test_a_database_is_not_forgotten_that_another_thread_opens_meanwhile(step):
    """Nor one that the handler of a signal opens: it is saved at intervals."""
    sf = Storify("memory://", save_interval=None, background=False)
    sf["closed"].close()
    sf.databases = databases = Meanwhile(sf.databases)

    def happen():
        del databases.happen
        sf.get_db("meanwhile")

    databases.happen = happen

    step(sf)

    assert sf.get_loaded_db("meanwhile") in sf.databases


@pytest.mark.usefixtures("_switching")
def test_transactions_of_threads_lose_no_step(tmp_path):
    """One waits for the other, in one process as between two."""
    with Storify(tmp_path / "data", save_interval=None) as sf:

        def count(_):
            for _ in range(5):
                with sf["visits"].transaction() as db:
                    db["n"] = db.get("n", 0) + 1

        together(count)

        assert sf["visits"]["n"] == THREADS * 5
