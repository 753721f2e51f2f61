"""Decides who is said to have started a run, and where: what machine or build service say of themselves."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Mapping


def who_runs(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return who started this run and where: the job of a build service, else user and host; None for what
    nobody says.
    """
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_RUN_ID"):
        server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
        job = f"{server}/{repository}/actions/runs/{environ['GITHUB_RUN_ID']}"
        return environ.get("GITHUB_ACTOR") or None, job
    if environ.get("GITLAB_CI") == "true" and environ.get("CI_JOB_URL"):
        return environ.get("GITLAB_USER_LOGIN") or None, environ["CI_JOB_URL"]
    if environ.get("BUILD_URL"):
        return environ.get("BUILD_USER_ID") or None, environ["BUILD_URL"]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for who runs in it
        user = ""
    return user or None, platform.node() or None
