"""Enables pytester, nothing more."""

pytest_plugins = ["pytester"]
