from datetime import date
from storify import Model, Storify


class User(Model):
    name: str
    born: date
    tags: set[str] = set()


sf = Storify("data")
users = sf.get_db("users", model=User)  # a Database[User], for mypy and pyright

users["ann"] = User("Ann", date(1990, 5, 17))
users["ann"].tags.add("admin")  # live objects: change them in place
users.flush()  # durable when it returns

again = Storify("data").get_db("users", model=User)
assert again["ann"] == User("Ann", date(1990, 5, 17), {"admin"})

# -- what type checkers see of it; tests/test_type_tests.py compares what is above
# ruff: noqa: E402, I001 -- the page writes its imports in one piece, these follow it
from typing import assert_type
from storify import Database

assert_type(users, Database[User])
assert_type(users["ann"], User)
assert_type(users["ann"].tags, set[str])
assert_type(users.get("bo"), User | None)
assert_type(again["ann"].born.year, int)
users["bo"] = "Bo"  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
User("Bo")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
