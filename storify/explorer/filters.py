"""A small language over fields: ``age > 30 and city == "Paris"``.

::

    either  = both, {"or", both}              "or" and "and" also as || and &&
    both    = one, {"and", one}
    one     = "not", one | "(", either, ")" | path, [comparison]
    comparison = ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "contains"), value
               | "in", "[", value, {",", value}, "]"

A path is that of a field, as ``address.city`` or ``tags[0]``; ``_key`` is the key,
``_class`` the class and ``_value`` the record. A value is a number, a text in quotes or
a bare word. Nothing is evaluated: a value is compared with what it is compared with, as
a word is with a date, and what cannot be compared is no match.
"""

import enum
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any, Final, NamedTuple, NoReturn

from storify.codec import unbuilt
from storify.explorer.values import MISSING, PathError, at_path, kind_of, parse_path
from storify.models import Ref
from storify.models.options import class_of
from storify.models.state import items_of

__all__ = ["Filter", "FilterError", "field_value", "parse_filter"]

#: A longer text is no question of a person; deeper brackets neither.
_LONG: Final = 2000
_DEEP: Final = 40


class FilterError(ValueError):
    """A filter that cannot be read."""


_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<sign>==|!=|<=|>=|&&|\|\||[=<>~(),\[\]])
    | (?P<word>[^\s=<>!~()\[\],'"&|]+(?:\[(?:'[^']*'|"[^"]*"|-?\d+)\][^\s=<>!~()\[\],'"&|]*)*)
    )""",
    re.VERBOSE,
)
_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
_SIGNS: Final = {"=", "==", "!=", "~", *_ORDERS}
_WORDS: Final = {"and", "or", "not", "in", "contains", "&&", "||"}

Test = Callable[[Any, Any], bool]


class _Literal(NamedTuple):
    """A value as it was written; in quotes it is a text and nothing else."""

    text: str
    is_quoted: bool = False


class Filter:
    """A filter that was read.

    Attributes:
        text: As it was written.
        paths: The fields that it asks for.
        met: Those of them that a record had so far.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.paths: set[str] = set()
        self.met: set[str] = set()
        self._test: Test = _all

    def __call__(self, key: Any, value: Any) -> bool:
        """Whether a record passes."""
        return self._test(key, value)

    def unmet(self) -> list[str]:
        """Return the fields that no record had: they may be misspelled."""
        return sorted(self.paths - self.met)

    def _look(self, path: str, key: Any, value: Any) -> Any:
        found = field_value(path, key, value)
        if found is not MISSING:
            self.met.add(path)
        return found


def _all(_key: Any, _value: Any) -> bool:
    return True


def field_value(path: str, key: Any, value: Any) -> Any:
    """Return what a path means in a record; MISSING if there is none."""
    if path == "_key":
        return key
    if path == "_class":
        return kind_of(value)
    if path == "_value":
        return value
    try:
        return at_path(value, path)
    except PathError:
        return MISSING


def parse_filter(text: str) -> Filter:
    """Read a filter; an empty one passes all.

    Raises:
        FilterError: It cannot be read; the error says where.
    """
    found = Filter(text)
    if text.strip():
        found._test = _Reader(text, found).read()  # noqa: SLF001 - it is being made
    return found


class _Reader:
    """Reads a text, by recursive descent."""

    def __init__(self, text: str, made: Filter) -> None:
        if len(text) > _LONG:
            msg = f"cannot read a filter of {len(text)} characters; at most {_LONG}"
            raise FilterError(msg)
        self._text = text
        self._made = made
        self._tokens: list[tuple[str, str, int]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                self._refuse(f"{text[at:].strip()[:20]!r} is no word of it")
            kind = match.lastgroup or ""
            self._tokens.append((kind, match[kind], match.start(kind)))
            at = match.end()
        self._tokens.append(("end", "", len(text)))
        self._at = 0
        self._deep = 0

    def _refuse(self, why: str) -> NoReturn:
        msg = (
            f"cannot read the filter {self._text!r}: {why}; "
            f"write it as: age > 30 and city == 'Paris'"
        )
        raise FilterError(msg)

    def read(self) -> Test:
        test = self._either()
        kind, text, at = self._tokens[self._at]
        if kind != "end":
            self._refuse(f"nothing may follow before {text!r}, character {at + 1}")
        return test

    def _is(self, *texts: str) -> bool:
        kind, text, _ = self._tokens[self._at]
        if kind == "quoted" or text.lower() not in texts:
            return False
        self._at += 1
        return True

    def _either(self) -> Test:
        tests = [self._both()]
        while self._is("or", "||"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else _any_of(tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._is("and", "&&"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else _all_of(tests)

    def _one(self) -> Test:
        self._deep += 1
        if self._deep > _DEEP:
            self._refuse("it is nested too deep")
        try:
            if self._is("not"):
                return _none_of(self._one())
            if self._is("("):
                inner = self._either()
                if not self._is(")"):
                    self._refuse("a bracket is not closed")
                return inner
            return self._comparison()
        finally:
            self._deep -= 1

    def _comparison(self) -> Test:
        kind, path, at = self._tokens[self._at]
        if kind != "word" or path.lower() in _WORDS:
            self._refuse(f"a field should stand at character {at + 1}")
        try:
            parse_path(path)
        except PathError as error:
            self._refuse(str(error))
        self._at += 1
        self._made.paths.add(path)
        look = self._made._look  # noqa: SLF001 - it is being made
        kind, sign, _ = self._tokens[self._at]
        if kind == "sign" and sign in _SIGNS:
            self._at += 1
            return _compared(look, path, sign, self._literal())
        if self._is("contains"):
            return _containing(look, path, self._literal())
        if self._is("in"):
            return _in_list(look, path, self._list())
        return lambda key, value: _is_true(look(path, key, value))

    def _literal(self) -> _Literal:
        kind, text, at = self._tokens[self._at]
        if kind not in {"word", "quoted"}:
            self._refuse(f"a value should stand at character {at + 1}")
        self._at += 1
        if kind == "quoted":
            return _Literal(re.sub(r"\\(.)", r"\1", text[1:-1]), is_quoted=True)
        return _Literal(text)

    def _list(self) -> list[_Literal]:
        if not self._is("["):
            self._refuse("a list in square brackets should follow 'in'")
        found = [self._literal()]
        while self._is(","):
            found.append(self._literal())
        if not self._is("]"):
            self._refuse("a square bracket is not closed")
        return found


def _any_of(tests: list[Test]) -> Test:
    return lambda key, value: any(test(key, value) for test in tests)


def _all_of(tests: list[Test]) -> Test:
    return lambda key, value: all(test(key, value) for test in tests)


def _none_of(test: Test) -> Test:
    return lambda key, value: not test(key, value)


def _is_true(found: Any) -> bool:
    try:
        return found is not MISSING and bool(found)
    except Exception:  # noqa: BLE001 - the class's own code ran
        return False


_Look = Callable[[str, Any, Any], Any]


def _compared(look: _Look, path: str, sign: str, wanted: _Literal) -> Test:
    def test(key: Any, value: Any) -> bool:
        found = look(path, key, value)
        if found is MISSING:
            return False
        if sign == "~":
            return wanted.text.casefold() in _text(found).casefold()
        if sign == "!=":
            return not _equals(found, wanted)
        if sign in _ORDERS:
            return _ordered(_ORDERS[sign], found, wanted)
        return _equals(found, wanted)

    return test


def _containing(look: _Look, path: str, wanted: _Literal) -> Test:
    def test(key: Any, value: Any) -> bool:
        found = look(path, key, value)
        if isinstance(found, str):
            return wanted.text in found
        if isinstance(found, (dict, list, tuple, set, frozenset)):
            return any(_equals(each, wanted) for each in items_of(found))
        return False

    return test


def _in_list(look: _Look, path: str, wanted: list[_Literal]) -> Test:
    def test(key: Any, value: Any) -> bool:
        found = look(path, key, value)
        return found is not MISSING and any(_equals(found, each) for each in wanted)

    return test


def _text(found: Any) -> str:
    """Return what ``~`` looks in."""
    name = _member(found)
    return str(name if name is not None else found)


def _member(found: Any) -> str | None:
    if isinstance(found, enum.Enum):
        return found.name
    kept = unbuilt(found)
    return kept.member if kept is not None and kept.member else None


def _equals(found: Any, wanted: _Literal) -> bool:
    if isinstance(found, str):
        return found == wanted.text
    if wanted.is_quoted and isinstance(found, (int, float, Decimal)):
        return False  # a text is no number
    other = _like(found, wanted)
    try:
        return other is not MISSING and bool(found == other)
    except Exception:  # noqa: BLE001 - the class's own code ran
        return False


def _ordered(order: Callable[[Any, Any], bool], found: Any, wanted: _Literal) -> bool:
    other = wanted.text if isinstance(found, str) else _like(found, wanted)
    try:
        return other is not MISSING and bool(order(found, other))
    except Exception:  # noqa: BLE001 - as above, or they have no order
        return False


def _like(found: Any, wanted: _Literal) -> Any:
    """Return what was written as a value of the kind that it is compared with."""
    text = wanted.text
    kind: type | None = class_of(found)
    if kind not in _READ:
        name = _member(found)
        if name is not None:
            return found if text.rpartition(".")[2] == name else MISSING
        if kind is Ref:
            return found if str(found.key) == text else MISSING
        kind = next((base for base in type(found).__mro__ if base in _READ), None)
        if kind is None:
            return found if str(found) == text else MISSING
    made = _read(kind, text)
    if kind is datetime and made is not MISSING and made.tzinfo is None:
        made = made.replace(tzinfo=found.tzinfo)
    return made


#: How a text is read as a value of each kind.
_READ: Final[dict[type, Callable[[str], Any]]] = {
    type(None): {"none": None, "null": None}.__getitem__,
    bool: {"true": True, "false": False}.__getitem__,
    int: Decimal,
    float: float,
    Decimal: Decimal,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    timedelta: lambda text: timedelta(seconds=float(text)),
}


@lru_cache(maxsize=1024)
def _read(kind: type, text: str) -> Any:
    """Read a text as a value of a kind, once for all records; MISSING if it is none."""
    try:
        return _READ[kind](text.lower() if kind in {bool, type(None)} else text)
    except (KeyError, ValueError, InvalidOperation):
        return MISSING
