"""What type checkers see of checks and migrations; checked, never run."""

from typing import Literal, assert_type

from storify import Misfit, Model, Storify


class User(Model):
    name: str


def progress(done: int, of: int) -> None:
    print(done, of)  # noqa: T201 -- a progress bar of a user


def wrong_progress(done: str) -> None:
    print(done)  # noqa: T201 -- as above


sf = Storify("memory://")
users = sf.get_db("users", model=User)

assert_type(users.check(), list[Misfit])
assert_type(users.check(progress), list[Misfit])
assert_type(sf.check(lambda done, of: done / of), list[Misfit])
assert_type(sf["untyped"].check(), list[Misfit])
for misfit in sf.check():
    assert_type(misfit.path, str)
    assert_type(misfit.database, str)
    if misfit.kind == "dangling ref":
        assert_type(misfit.kind, Literal["dangling ref"])
    assert_type(misfit.expected, str)
    assert_type(misfit.found, str)
assert_type(users.migrate(), int)
assert_type(users.migrate(progress=progress), int)
assert_type(sf.migrate(), dict[str, int])

users.check(wrong_progress)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
users.check(progress=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
sf.migrate("users")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
sf.check()[0].value = 5  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
print(sf.check()[0].kind == "dangling")  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]  # noqa: T201 -- as above
sf.check()["users"]  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
