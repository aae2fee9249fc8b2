"""What type checkers see of references; checked, never run."""

from typing import Any, assert_type

from storify import Model, Ref, Storify, field


class Team(Model):
    name: str
    lead: "Ref[User] | None" = None
    parent: "Ref[Team] | None" = None
    members: "list[Ref[User]]" = []
    by_role: "dict[str, Ref[User]]" = field(factory=dict)


class User(Model):
    name: str
    age: int = 0


class Admin(User):
    level: int = 1


sf = Storify("memory://")
users = sf.get_db("users", model=User)
admins = sf.get_db("admins", model=Admin)
teams = sf.get_db("teams", model=Team)
numbered = sf.get_db("numbered", model=User, key=int)
either = sf.get_db("either", model=(User, Team))

# A reference knows what it leads to.
assert_type(users.ref("u1"), Ref[User])
assert_type(numbered.ref(1), Ref[User])
assert_type(either.ref("x"), Ref[User | Team])
assert_type(either.ref("x", User), Ref[User])
assert_type(sf["users"].ref("u1"), Ref[Any])
assert_type(sf["users"].ref("u1", User)().age, int)
assert_type(users.ref("u1")(), User)
assert_type(users.ref("u1")().age, int)
assert_type(users.ref("u1").get(), User | None)
assert_type(users.ref("u1").db, str)
assert_type(users.ref("u1") == users.ref("u1"), bool)

# In fields, in containers, to the class itself.
core = Team(
    "core",
    lead=users.ref("u1"),
    parent=teams.ref("all"),
    members=[users.ref("u1"), admins.ref("a1")],
    by_role={"boss": admins.ref("a1")},
)
assert_type(core.lead, Ref[User] | None)
assert_type(core.members[0](), User)
assert_type([member.get() for member in core.members], list[User | None])
assert_type(core.by_role["boss"]().name, str)
if core.parent is not None:
    assert_type(core.parent(), Team)
teams["core"] = core
teams["core"].lead = users.ref("u2")
sf.get_db("refs", model=Ref[User])["r"] = users.ref("u1")

# An Admin is a User, so a reference to one is a reference to the other.
core.lead = admins.ref("a1")
general: Ref[User] = admins.ref("a1")

Team("x", lead=teams.ref("all"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Team("x", lead=User("Ann"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Team("x", lead="u1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Team("x", members=[teams.ref("all")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
core.parent = users.ref("u1")  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
core.members.append(teams.ref("all"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
special: Ref[Admin] = users.ref("u1")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
Team("x", lead=either.ref("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Team("x", lead=either.ref("x", Team))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
users.ref(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
numbered.ref("u1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
users.ref("u1").name = "x"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
users.ref("u1").get().name = "x"  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
users.ref("u1").key = "u2"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
teams["x"].lead()  # type: ignore[misc]  # pyright: ignore[reportOptionalCall]
users["u1"] = users.ref("u2")  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
either.ref("x")().age = 1  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
