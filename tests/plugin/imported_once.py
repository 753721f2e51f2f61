"""Imports the whole package: pytester forgets what a run in process was the first to import."""

from __future__ import annotations

import importlib
import pkgutil

import pytest_l402

for _module in pkgutil.walk_packages(pytest_l402.__path__, "pytest_l402."):
    importlib.import_module(_module.name)
