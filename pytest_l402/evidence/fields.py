"""Decides which fields the rows of a table have and what each can hold: by contract, by system, by rows."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from enum import Enum
from functools import cache, lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from pytest_l402.contract.departures import departures_of
from pytest_l402.contract.rows import Row
from pytest_l402.contract.scalars import Words
from pytest_l402.contract.tables import ROW_FORMS, TableRow

Form: TypeAlias = type[Any] | Mapping[str, Any]
"""A pydantic model, a TypedDict or another class that annotates the keys of a row; or {key: type}."""

Declared: TypeAlias = Mapping[str, tuple[Form, ...]]
"""What attached systems say of their tables."""

ANYTHING: Final[Declared] = {"": ()}
"""What was said is no longer known, as of evidence that was kept: a check may name whatever it likes."""

_KINDS: Final = {bool: "true or false", int: "an integer", float: "a number", str: "text", dict: "an object"}


_NEARLY: Final = 0.85
"""From here on two long words are one, written twice; "amount" and "amuont" are 0.83."""


class TableFields:
    """The fields of one table: those of its forms, and those that its rows have.

    A form of an attached system is believed before that of the contract, key by key. What a row holds can be
    held, whatever a form says.
    """

    def __init__(self, table: str, rows: Iterable[Row], declared: Declared) -> None:
        self._forms = [annotations_of(form) for form in declared.get(table, ())]
        self._by_contract = annotations_of(ROW_FORMS[table]) if table in ROW_FORMS else {}
        self._rows = tuple(rows)
        self._paths: set[str] | None = None
        self._has: dict[str, bool] = {}
        self._seen: dict[str, dict[tuple[type[Any], str], Any]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The keys that a row can have, those of the forms first."""
        found = [*(key for form in (*self._forms, self._by_contract) for key in form)]
        return tuple(dict.fromkeys([*found, *(key for row in self._rows for key in row)]))

    def has(self, path: str) -> bool:
        """Whether a dotted path leads to a field, of a row that is there or of a form."""
        if path not in self._has:
            self._has[path] = self._leads(path)
        return self._has[path]

    def _leads(self, path: str) -> bool:
        key, _, rest = path.partition(".")
        told = self._told(key)
        if told and (not rest or any(_inner(annotation, rest) for annotation in told)):
            return True
        if self._paths is None:
            self._paths = {path for row in self._rows for path in _paths(row)}
        if path in self._paths:
            return True
        # Of an open object the rows say what it has, as soon as one of them has something in it.
        into = any(_leads(annotation, rest) for annotation in told)
        return into and not any(known.startswith(f"{key}.") for known in self._paths)

    def unknown_in(self, key: str, value: Any) -> str | None:
        """The first path of an item of a row that no other row and no form has."""
        if self.has(key) and not isinstance(value, dict | list):
            return None
        return next((path for path in _paths({key: value}) if not self.has(path)), None)

    def misfit(self, path: str, value: Any) -> str | None:
        """What the field can hold, if that is not the value."""
        told = self._told(path)
        misfits = [misfit(annotation, value) for annotation in told]
        if None in misfits:
            return None
        seen = self._seen_in(path)
        if _as_key(value) in seen:
            return None
        if told:
            return misfits[0]
        kinds = {kind for kind, _ in seen if kind is not type(None)}
        if value is None or not kinds or type(value) in kinds:
            return None
        return " or ".join(sorted(_KINDS.get(kind, "a list") for kind in kinds)) + ", as every row has"

    def meant_by(self, key: str, value: Any) -> Any:
        """The value that this one, which the field cannot hold, is another spelling of; None if of none."""
        if value is None or self.misfit(key, value) is None:
            return None
        for other in _other_spellings(value):
            if self.misfit(key, other) is None:
                return other
        if not isinstance(value, str):
            return None
        return next((word for word in self.words(key) if alike(value, word)), None)

    def words(self, path: str) -> list[str]:
        """The texts that the field is known to hold, by form or by row."""
        told = [word for annotation in self._told(path) for word in _words(annotation)]
        seen = (value for value in self._seen_in(path).values() if isinstance(value, str))
        return list(dict.fromkeys([*told, *seen]))

    def made_up(self) -> Row:
        """A row as the forms have it, with a plain value in each field; empty where no form is known."""
        forms = (self._by_contract, *self._forms)
        return {key: _made_up(annotation) for form in forms for key, annotation in form.items()}

    def _told(self, key: str) -> list[Any]:
        own = [each for form in self._forms for each in _of_form(form, key)]
        return own or list(_of_form(self._by_contract, key))

    def _seen_in(self, path: str) -> dict[tuple[type[Any], str], Any]:
        """The values that the rows hold there, each once."""
        if path not in self._seen:
            steps = path.split(".")
            found = (value for row in self._rows for value in _values(row, steps))
            self._seen[path] = {_as_key(value): value for value in found}
        return self._seen[path]


def _as_key(value: Any) -> tuple[type[Any], str]:
    """What tells values of JSON apart: to Python True is 1, and 1 is 1.0."""
    return type(value), value if isinstance(value, str) else repr(value)


def annotations_of(form: Form) -> Mapping[str, Any]:
    """What a form says of each key of a row. Raises `TypeError` or `NameError` for what is no form."""
    if isinstance(form, Mapping):
        hash(tuple(form.values()))
        return form
    return _annotations(cast("Hashable", form))


@cache
def _annotations(form: Hashable) -> Mapping[str, Any]:
    assert isinstance(form, type)
    if issubclass(form, BaseModel):
        fields = form.model_fields
        return {
            str(field.alias or name): Annotated[(field.annotation, *field.metadata)]
            if field.metadata
            else field.annotation
            for name, field in fields.items()
        }
    hints = get_type_hints(form, include_extras=True)
    return {to_camel(name): hint for name, hint in hints.items()} if issubclass(form, TableRow) else hints


@lru_cache(maxsize=4096)
def alike(value: str, word: str) -> bool:
    """Whether two texts differ only in case, punctuation, width and letters that look alike, or are long
    words and nearly the same.
    """
    if _letters(value) and _letters(value) == _letters(word):
        return True
    long = min(len(value), len(word)) >= 7
    return long and not _DIGIT.search(value) and not _DIGIT.search(word) and nearly(value, word)


def nearly(value: str, word: str) -> bool:
    """Whether two texts are the same but for a slip of one or two letters."""
    if abs(len(value) - len(word)) > 2:
        return False
    matcher = SequenceMatcher(None, value, word)
    return matcher.quick_ratio() >= _NEARLY and matcher.ratio() >= _NEARLY


def mixes_scripts(text: str) -> bool:
    """Whether a word has Latin letters and, of another script, letters that look like Latin ones."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if folded.isascii():
        return False
    return any(_ASCII_LETTER.search(word) and _LOOKS_LATIN.search(word) for word in _NO_LETTERS.split(folded))


def _letters(text: str) -> str:
    folded = text.casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", folded).casefold().translate(_LOOK_ALIKES)
    return _NO_LETTERS.sub("", folded)


# Cyrillic, then Greek: the letters of which one cannot tell that they are not those below.
_FOREIGN: Final = (
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u04cf\u051b\u051d\u0451"
    "\u03b1\u03b2\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7"
)
_LOOK_ALIKES: Final = str.maketrans(_FOREIGN, "abekmhopctyxijsdhlqweabeikvoptux")
_LOOKS_LATIN: Final = re.compile(f"[{_FOREIGN}]")
_ASCII_LETTER: Final = re.compile("[a-z]")


_NO_LETTERS: Final = re.compile(r"[\W_]+")
_DIGIT: Final = re.compile(r"\d")


def _other_spellings(value: Any) -> Iterator[Any]:
    """A number or a flag written as a text, a flag as a number, a number as another kind of number."""
    if isinstance(value, bool):
        yield int(value)
    elif isinstance(value, int | float) and value in (0, 1):
        yield bool(value)
    if isinstance(value, float) and value.is_integer():
        yield int(value)
    if isinstance(value, str) and _letters(value) in ("true", "false"):
        yield _letters(value) == "true"
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        yield int(value)


@cache
def _reader(annotation: Hashable) -> tuple[TypeAdapter[Any] | None, tuple[Words, ...]]:
    """What reads a value of JSON, None where pydantic knows of nothing that does; and the words of a text."""
    words = tuple(marker for part in _parts(annotation) for marker in _markers(part, Words))
    try:
        return TypeAdapter(cast("Any", annotation)), words
    except PydanticUserError:
        return None, words


def misfit(annotation: Hashable, value: Any) -> str | None:
    """What an annotation expects, if a value of JSON is something else; nothing is coerced."""
    if not isinstance(value, _SCALARS):
        return _read(annotation, value)
    # By identity: to hash an annotation takes longer than to read most values.
    if id(annotation) not in _SEEN or len(_SEEN[id(annotation)][1]) > _MOST_SEEN:
        _SEEN[id(annotation)] = annotation, {}
    _, known = _SEEN[id(annotation)]
    key = type(value), value
    if key not in known:
        known[key] = _read(annotation, value)
    return known[key]


def _read(annotation: Hashable, value: Any) -> str | None:
    reader, words = _reader(annotation)
    if isinstance(value, str) and words and not any(_is_word(marker, value) for marker in words):
        return "a word that a plane says"
    if reader is None:
        return None
    try:
        written = json.dumps(value)
    except (TypeError, ValueError):
        return "a value that JSON can write"
    try:
        taken = reader.validate_json(written, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        expected = (item.expected.removeprefix("Input should be ") for item in departures_of(error))
        return " or ".join(dict.fromkeys(expected))
    plain = taken.value if isinstance(taken, Enum) else taken
    # A contract may take 1.0 for the integer 1; a row never equals it.
    fits = type(plain) is type(value) or value is None or not isinstance(value, _SCALARS)
    return None if fits else _KINDS.get(type(plain), "another type")


_SCALARS: Final = (str, int, float, type(None))
_SEEN: Final[dict[int, tuple[Hashable, dict[tuple[type[Any], Any], str | None]]]] = {}
"""What was read of each annotation, which is kept so that no other one gets its `id`."""
_MOST_SEEN: Final = 1024


def _is_word(marker: Words, value: str) -> bool:
    return value in marker.words or re.fullmatch(marker.pattern, value) is not None


def _markers(part: Any, kind: type[Any]) -> list[Any]:
    return [extra for extra in get_args(part)[1:] if isinstance(extra, kind)] if _is_annotated(part) else []


def _is_annotated(part: Any) -> bool:
    return get_origin(part) is Annotated


@cache
def _parts(annotation: Hashable) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return (annotation,)
    return (annotation, *(part for inner in get_args(annotation) for part in _parts(inner)))


@cache
def _words(annotation: Hashable) -> tuple[str, ...]:
    words: list[object] = []
    for part in _parts(annotation):
        if get_origin(part) is Literal:
            words += get_args(part)
        elif isinstance(part, type) and issubclass(part, Enum):
            words += (member.value for member in part)
        for marker in _markers(part, Words):
            words += marker.words
    return tuple(word for word in words if isinstance(word, str))


def _of_form(form: Mapping[str, Any], path: str) -> tuple[Any, ...]:
    """What a form says of a dotted path."""
    if path in form:
        return (form[path],)
    key, _, rest = path.partition(".")
    return _inner(form[key], rest) if rest and key in form else ()


@lru_cache(maxsize=1024)
def _inner(annotation: Hashable, path: str) -> tuple[Any, ...]:
    """What the models within an annotation say of a dotted path."""
    models = [part for part in _parts(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    return tuple(each for model in models for each in _of_form(annotations_of(model), path))


@lru_cache(maxsize=1024)
def _leads(annotation: Hashable, path: str) -> bool:
    """Whether a dotted path leads to a field of a model, or into an object of which nothing is told."""
    key, _, rest = path.partition(".")
    for part in _parts(annotation):
        if part is dict or part is Any:
            return True
        if isinstance(part, type) and issubclass(part, BaseModel):
            inner = annotations_of(part)
            if key in inner and (not rest or _leads(inner[key], rest)):
                return True
    return False


def _paths(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"{prefix}{key}"
            if isinstance(item, Mapping | list | tuple):
                yield from _paths(item, f"{prefix}{key}.")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item, prefix)


def _values(value: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(value, list | tuple) and steps:
        for item in value:
            yield from _values(item, steps)
    elif not steps:
        yield value
    elif isinstance(value, Mapping) and steps[0] in value:
        yield from _values(value[steps[0]], steps[1:])


def _made_up(annotation: Any) -> Any:
    """A value that an annotation admits: null where that is one."""
    parts = _parts(annotation)
    if type(None) in parts:
        return None
    for part in parts:
        if get_origin(part) in (list, tuple):
            return []
        if part is dict or get_origin(part) is dict:
            return {}
        if words := _words(part):
            return words[0]
        if isinstance(part, type) and issubclass(part, BaseModel):
            return {key: _made_up(inner) for key, inner in annotations_of(part).items()}
        if part in _PLAIN:
            return _PLAIN[part]
    return {}


_PLAIN: Final[Mapping[Any, Any]] = {bool: False, int: 1, float: 1.0, str: "made-up"}
