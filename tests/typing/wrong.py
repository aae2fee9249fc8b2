"""Mistakes in the world of `program`, each of another kind, reported by both checkers.

`tests/test_type_tests.py` takes the ignores away and looks that each marked line, and
no other, is an error in mypy and in pyright.
"""

from datetime import date
from typing import Any

from program import Address, Article, Author, Newsroom, Page, User, is_author

from storify import Database, Index, Model, Query, Ref, Storify, field, migration

sf = Storify("memory://")
room = Newsroom(sf)
users = room.users
articles = room.articles
by_title = articles.index(lambda article: article.title)
adults = room.adults(2026)

# Setting and getting.
users["ann"] = Address("Paris")  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
articles["1"] = articles[1]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
room.shown["x"] = Page(["one"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
users["ann"].nmae = "Ann"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
users["ann"].born = "1990-05-17"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
users.get("ann").first = "Anne"  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
users.setdefault("ann", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
users.update({1: users["ann"]})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
total: str = room.counts["clicks"]  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
shown: Page[int] = room.shown["first"]  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# Making objects.
User(last="Smith")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
User("Ann")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
User(first="Ann", nick="A")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
User(first="Ann", role="reader")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Address("Paris").city = "Rome"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
Page[int](["one"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
older = users["ann"] < users["bo"]  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
author: Author = users["ann"].evolve(first="Anne")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# Opening.
sf.get_db("users", model="User")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
sf.get_db("users", modle=User)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
Storify("memory://", models=User)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Storify("memory://", sync="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
numbered: Database[User, int] = users  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# Queries.
users.where(lambda u: u.agee > 30)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]
articles.where(lambda article: article.words > "x")  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnknownLambdaType]
users.where("first == 'Ann'")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
adults.first().first = "Anne"  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
adults.sort(key=lambda u: u.last)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]
names: Query[int] = adults.map(lambda u: u.first)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportAssignmentType]
articles.of(is_author)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]

# Indexes.
by_title[1]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
by_title["Storms"] = articles[1]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
by_words: Index[str, Article, int] = articles.index(lambda article: article.words)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportAssignmentType]
users.index("email", unique=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# References.
Article("Storms", articles.ref(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Article("Storms", users["cy"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
narrow: Ref[Author] = users.ref("cy")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
users.ref(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
articles[1].author.first = "Cy"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

# The rest: older states, checks.
users.at(1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
sf.check()[0].value = 5  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
dangles = sf.check()[0].kind == "dangling"  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
sf.migrate(progress="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
field(defualt=0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


class BadOption(Model, extra="drop"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    a: int


class BadKeyword(Model, keynme="__Bad__"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    a: int


class BadFields(Model, version=1):
    a: int = field(default="x")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    b: list[int] = field(factory=dict)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    c: date = "2026-01-01"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    d: int = field(default=0, upgrade="int")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    e: str  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]

    @migration(0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def _first(self, d: dict[str, Any]) -> dict[str, Any]:
        return d
