"""A user's program with all the typed parts: clean in mypy and pyright, and run.

A newsroom: people, some of whom write, their articles, and what readers see.
`tests/test_type_tests.py` runs it in an empty folder and compares what it prints.
"""
# ruff: noqa: T201 -- what it prints is how its test sees it

from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, Generic, TypeVar

from typing_extensions import TypeIs

from storify import (
    CheckError,
    Database,
    DuplicateKeyError,
    Index,
    Model,
    Query,
    Ref,
    Storify,
    asdict,
    field,
    migration,
)

T = TypeVar("T")


class Role(Enum):
    """What somebody may do."""

    READER = "reader"
    EDITOR = "editor"


class Address(Model, frozen=True, order=True):
    """A value: two equal ones are the same."""

    city: str
    street: str = ""


class OldUser(Model, keyname="__User__"):
    """What `User` was two years ago, to have data of then."""

    name: str
    born: str


class User(Model, kw_only=True, version=1):
    """Somebody who reads."""

    first: str
    last: str = ""
    email: str | None = field(default=None, key="mail")
    born: date | None = field(default=None, upgrade=date.fromisoformat)
    role: Role = Role.READER
    homes: list[Address] = []
    boss: "Ref[User] | None" = None
    _clicks: int = 0

    @staticmethod
    @migration(0)
    def _split_name(d: dict[str, Any]) -> dict[str, Any]:
        first, _, last = d.pop("name").partition(" ")
        return {**d, "first": first, "last": last}


class Author(User, kw_only=True):
    """Somebody who writes too."""

    pen_name: str = field(converter=str.strip)


class Article(Model):
    """A text of somebody."""

    title: str
    author: Ref[User]
    words: int = 0
    tags: set[str] = set()


class Page(Model, Generic[T]):
    """A part of a longer list."""

    items: list[T]
    number: int = 1


def is_author(user: User) -> TypeIs[Author]:
    """Tell type checkers, too, who writes."""
    return isinstance(user, Author)


class Newsroom:
    """The databases of the program, each of its type."""

    def __init__(self, sf: Storify) -> None:
        self.users = sf.get_db("users", model=User, strict=True)
        self.articles = sf.get_db("articles", model=Article, key=int)
        self.shown = sf.get_db("shown", model=(Page[int], Address), strict=True)
        self.counts: Database[int] = sf.get_db("counts")
        self.by_email = self.users.index(lambda u: u.email, unique=True)

    def adults(self, year: int) -> Query[User]:
        """Give who is at least eighteen in *year*, by name."""
        born = self.users.where(lambda u: u.born is not None)
        adults = born.where(lambda u: u.born and year - u.born.year >= 18)
        return adults.sorted(key=lambda u: (u.last, u.first))

    def count(self, name: str) -> int:
        """Count one more, also while other processes count."""
        with self.counts.transaction() as counts:
            counts[name] = counts.get(name, 0) + 1
        return self.counts[name]


def write_old_data(folder: str) -> None:
    """Leave a database as the program wrote it two years ago."""
    with Storify(folder) as sf:
        users = sf.get_db("users", model=OldUser)
        users["ann"] = OldUser("Ann Smith", "1990-05-17")
        users["bo"] = OldUser("Bo Lee", "2020-02-29")


def titles(articles: Index[str, Article, int], tag: str) -> list[str]:
    """Give the titles with *tag*."""
    return articles.find(tag).map(lambda article: article.title).list()


def work(sf: Storify) -> None:
    """Do what is done in a day."""
    room = Newsroom(sf)
    print("misfits of old data:", room.users.check())
    print("rewritten:", sf.migrate())
    ann = room.users["ann"]
    print("ann:", ann.first, ann.last, ann.born, ann.role.name)

    ann.email = "ann@example.org"
    ann.homes.append(Address("Paris"))
    cy = Author(first="Cy", born=date(1985, 1, 1), pen_name=" C. Y. ")
    cy.boss = room.users.ref("ann")
    room.users["cy"] = cy
    room.articles[1] = Article("Storms", room.users.ref("cy"), 900, {"sea"})
    room.articles[2] = Article("Tides", room.users.ref("cy"), 1200, {"sea", "moon"})
    room.shown["first"] = Page([1, 2])
    room.shown["office"] = Address("Oslo")
    sf.flush()

    print("adults:", [user.first for user in room.adults(2026)])
    long = room.articles.where(lambda article: article.words > 1000)
    print("long:", long.count(), list(long.keys()), long.map(lambda a: a.title).first())
    print("pen names:", room.users.of(is_author).map(lambda a: a.pen_name).list())
    print("pages:", room.shown.of(Page[int]).map(lambda page: sum(page.items)).one())
    print("by email:", room.by_email["ann@example.org"].first)
    by_title = room.articles.index(lambda article: article.title)
    print("tides:", titles(by_title, "Tides"), "floods" in by_title)

    author = room.articles[1].author()
    boss = author.boss() if author.boss else None
    print("author:", author.first, "boss:", boss.first if boss else "nobody")
    print("clicks:", room.count("clicks"), room.count("clicks"))
    fail(sf, room)
    look_back(room)


def fail(sf: Storify, room: Newsroom) -> None:
    """Do what goes wrong: each error says where."""
    try:
        room.users["dee"] = User(first="Dee", email="ann@example.org")
        room.users.flush()
    except DuplicateKeyError as error:
        print("twice:", sorted(str(key) for key in error.keys))
    room.users.pop("dee", None)
    untyped: dict[str, Any] = {"items": ["one"]}
    try:
        room.shown["second"] = Page(**untyped)
    except CheckError as error:
        print("refused:", error.path)
    del room.users["cy"]
    for misfit in sf.check():
        print("misfit:", misfit.database, misfit.path, misfit.kind)


def look_back(room: Newsroom) -> None:
    """Change something and take it back."""
    room.users.flush()
    before = datetime.now(UTC)
    moved = room.users["ann"].evolve(homes=[Address("Rome")], role=Role.EDITOR)
    room.users["ann"] = moved
    room.users.flush()
    print("changed:", room.users.backups.diff(before).changed)
    print("then:", room.users.at(before)["ann"].homes)
    room.users.backups.restore(before, keys=["ann"])
    print(
        "restored:", asdict(room.users["ann"])["homes"], min(moved.homes) > Address("A")
    )


if __name__ == "__main__":
    write_old_data("data")
    with Storify("data", models=[Author], keep=20) as storify:
        work(storify)
