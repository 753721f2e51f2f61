"""Game days for paid APIs, as pytest."""

__version__ = "0.1.0"
