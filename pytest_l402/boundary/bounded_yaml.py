"""Decides how YAML from outside is loaded: safely, fast, and never nested deeper than a process can bear."""

from __future__ import annotations

from typing import Any, Final

import yaml

DEEPEST: Final = 100
"""How many levels of nesting a document may have."""

UNREADABLE: Final = (yaml.YAMLError, RecursionError, AttributeError, LookupError, TypeError, ValueError)
"""What loading raises: besides its own errors, PyYAML lets through what `!!bool perhaps` fails with."""

# libyaml's where there is one, as in PyYAML's wheels: it takes a twentieth of the time.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TooDeeplyNestedError(yaml.composer.ComposerError):
    """A document is nested deeper than `DEEPEST`; `problem_mark` is where its last level begins."""

    def __init__(self, mark: yaml.Mark | None) -> None:
        super().__init__(None, None, f"more than {DEEPEST} levels of nesting", mark)


class BoundedLoader(_SafeLoader):  # type: ignore[misc]
    """A safe loader that refuses what is nested too deeply; its users decide about keys."""

    _depth = 0

    def descend_resolver(self, node: yaml.Node | None, index: Any) -> None:
        """Count a level on the way down; libyaml would go on until the process has no stack left."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise TooDeeplyNestedError(None if node is None else node.start_mark)
        super().descend_resolver(node, index)

    def ascend_resolver(self) -> None:
        """Leave a level."""
        self._depth -= 1
        super().ascend_resolver()
