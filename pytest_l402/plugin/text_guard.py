"""Decides what text may leave a run: each way out of pytest is held once, and secrets are taken out there.

Reports are cleaned before any plugin is told of them, for the files that plugins make of them. All else that
is shown passes the terminal writer, and what is written passes the log file, the debug file or the cache.
What a test itself prints with `-s`, or writes to a file, is its own.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest

from pytest_l402.plugin.run import TEXT_GUARD
from pytest_l402.plugin.selection import SELECTION

_LINE_LIMIT: Final = 400


def guard(config: pytest.Config) -> None:
    """Hold the text of a run that has begun, from now on; once is enough."""
    if not config.pluginmanager.hasplugin(TEXT_GUARD):
        held = TextGuard(config)
        config.pluginmanager.register(held, TEXT_GUARD)
        held.hold_outlets()


class TextGuard:
    """The hooks by which text leaves, and the ways out that have no hook."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._undo: list[Callable[[], None]] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self) -> Generator[None, None, None]:
        """Hold the ways out, now that all of them are there."""
        self.hold_outlets()
        with _cleaned_exceptions():
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_parametrize_id(self, val: object, argname: str) -> None:
        """Know the value of an argument such as `preimage` from now on: an id is made of the value alone."""
        from pytest_l402.boundary import redact_text
        from pytest_l402.boundary.known_secrets import ISSUED
        from pytest_l402.boundary.named_secrets import names_secret

        if isinstance(val, str | bytes) and names_secret(argname):
            text = val if isinstance(val, str) else val.decode("ascii", "backslashreplace")
            if redact_text(f"{argname}: {text}") != f"{argname}: {text}":
                ISSUED.note(val, text)
                with suppress(ValueError):
                    ISSUED.note(bytes.fromhex(text))

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Give a test whose id shows a secret another id: it is in every report, in the cache and on disk."""
        import hashlib

        from pytest_l402.boundary import redact_text

        if redact_text(item.nodeid) != item.nodeid:
            # Two cases may differ in what is redacted alone.
            suffix = hashlib.sha256(item.nodeid.encode("utf-8", "replace")).hexdigest()[:8]
            own = f"{redact_text(item.name).removesuffix(']')}-{suffix}]"
            _rename(item, own, redact_text(item.nodeid.removesuffix(item.name)) + own)

    def pytest_collection_finish(self) -> None:
        """Let go of a run that turned out to have no rehearsals."""
        if SELECTION not in self._config.stash:
            self._config.pluginmanager.unregister(self)
            while self._undo:
                self._undo.pop()()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        """Clean each report, also of a subtest or of a dead worker, before anybody is told of it."""
        from pytest_l402.plugin.failure_text import clean_report

        clean_report(report, self._config.rootpath)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> Generator[None, None, None]:
        """Clean what is told of a module that was not collected."""
        if not report.passed:
            from pytest_l402.plugin.failure_text import clean_report

            clean_report(report, self._config.rootpath)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_internalerror(self, excrepr: Any) -> Generator[None, object, object]:
        """Clean what broke in pytest or in a plugin."""
        from pytest_l402.plugin.failure_text import clean_shown

        clean_shown(excrepr, self._config.rootpath)
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Clean the reason of `pytest.exit`, which may come before there is a terminal."""
        _clean_exception(excinfo.value)

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Clean a warning: it is no part of a report."""
        from pytest_l402.boundary import redact_text

        said = str(warning_message.message)
        cleaned = redact_text(said)
        if cleaned != said:
            warning_message.message = cleaned

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_json_modifyreport(self, json_report: dict[str, Any]) -> None:
        """Clean the whole file of pytest-json-report: it keeps output and log lines of its own."""
        from pytest_l402.boundary import redact_values

        json_report.update(redact_values(json_report))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Clean what JUnit's file holds beside the reports."""
        from _pytest.junitxml import xml_key

        xml = self._config.stash.get(xml_key, None)
        if xml is not None:
            _clean_junit(xml)
        with _cleaned_exceptions():
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Clean the usage error that ends the run: it is told when nothing of pytest is left to hold it."""
        error = sys.exc_info()[1]
        if isinstance(error, pytest.UsageError):
            _clean_exception(error)

    def hold_outlets(self) -> None:
        """Take hold of each way out that has no hook."""
        config = self._config
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            self._hold_terminal(config.get_terminal_writer())
        handler = getattr(config.pluginmanager.get_plugin("logging-plugin"), "log_file_handler", None)
        if handler is not None and handler.formatter is not None:
            self._put(handler, "formatter", _CleanFormatter(handler.formatter))
        cache = getattr(config, "cache", None)
        if cache is not None:
            self._put(cache, "set", _cleaning_set(cache.set))
        trace = config.trace.root
        if trace._writer is not None:
            self._put(trace, "_writer", _cleaning_write(trace._writer))

    def _hold_terminal(self, writer: Any) -> None:
        write = writer.write
        cleaner = _Line(writer.hasmarkup)

        def write_clean(text: str, *, flush: bool = False, **markup: bool) -> None:
            write(cleaner.clean(text), flush=flush, **markup)

        self._put(writer, "write", write_clean)

    def _put(self, holder: Any, name: str, value: object) -> None:
        own = vars(holder)
        if name in own:
            self._undo.append(lambda before=own[name]: setattr(holder, name, before))  # type: ignore[misc]
        else:
            self._undo.append(lambda: delattr(holder, name))
        setattr(holder, name, value)


class _Line:
    """What was written of the line so far: `preimage` and its value may be written one after the other."""

    def __init__(self, colours: bool) -> None:
        self._colours = colours
        self._line = ""

    def clean(self, text: str) -> str:
        from pytest_l402.boundary.redaction import redact_after
        from pytest_l402.boundary.text_safety import colourless, steerless

        bare = colourless(text)
        cleaned = redact_after(self._line, bare)
        _, newline, rest = bare.rpartition("\n")
        self._line = (rest if newline else self._line + rest)[-_LINE_LIMIT:]
        shown = text if cleaned == bare else cleaned
        # A line that is written again begins with a carriage return.
        again = "\r" if shown.startswith("\r") else ""
        return again + steerless(shown[len(again) :], colours=self._colours)


class _CleanFormatter(logging.Formatter):
    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        from pytest_l402.boundary import redact_text

        return redact_text(self._formatter.format(record))


def _cleaning_set(original: Callable[[str, object], None]) -> Callable[[str, object], None]:
    def set_clean(key: str, value: object) -> None:
        from pytest_l402.boundary import redact_values

        original(key, redact_values(value))

    return set_clean


def _cleaning_write(original: Callable[[str], object]) -> Callable[[str], object]:
    # Not in the function: what pytest traces of an import would be cleaned by that import.
    from pytest_l402.boundary import redact_text

    def write_clean(text: str) -> object:
        # What becomes of an id is traced as `val`, and on the next line the name of the argument.
        value, named, argument = text.partition("argname: ")
        if named:
            text = value.replace("val: ", f"{argument.split(maxsplit=1)[0]}: ") + named + argument
        return original(redact_text(text))

    return write_clean


def _rename(item: Any, name: str, nodeid: str) -> None:
    item.name = name
    known = getattr(item, "_id", None)
    if known is None:
        item._nodeid = nodeid
    else:
        item._id = type(known).parse(nodeid)


@contextmanager
def _cleaned_exceptions() -> Iterator[None]:
    # pytest writes the reason of `pytest.exit` past the terminal before the session has begun, and after it.
    try:
        yield
    except BaseException as error:
        _clean_exception(error)
        raise


def _clean_exception(error: BaseException) -> None:
    from pytest_l402.boundary import redact_text

    error.args = tuple(redact_text(value) if isinstance(value, str) else value for value in error.args)
    message = getattr(error, "msg", None)
    if isinstance(message, str):
        error.msg = redact_text(message)  # type: ignore[attr-defined]


def _clean_junit(xml: Any) -> None:
    from pytest_l402.boundary import redact_text, redact_values

    xml.global_properties[:] = [tuple(redact_values(list(each))) for each in xml.global_properties]
    for reporter in xml.node_reporters_ordered:
        # A finished one gives the same element each time.
        if "to_xml" not in vars(reporter):
            reporter.finalize()
        for element in reporter.to_xml().iter():
            if element.tag == "property":
                pair = redact_values([element.get("name", ""), element.get("value", "")])
                element.set("value", pair[1])
                continue
            for name, value in element.attrib.items():
                _, told = redact_values([name, value])
                element.set(name, told)
            if element.text:
                element.text = redact_text(element.text)
