"""Aperture's own file: how Aperture reads it, and what it costs an operator to be misread."""
