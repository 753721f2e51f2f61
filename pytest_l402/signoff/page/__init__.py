"""Decides how a sign-off looks on one self-contained page, for whoever decides and whoever is on call."""

from pytest_l402.signoff.page.anchors import anchors_of
from pytest_l402.signoff.page.whole_page import render_page

__all__ = ["anchors_of", "render_page"]
