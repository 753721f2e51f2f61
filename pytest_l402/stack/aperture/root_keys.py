"""Where root keys outlive the process: one SQLite file, written before a challenge leaves."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pytest_l402.protocol import Identifier, IdentifierError
from pytest_l402.stack.gateway.mint import Minted

_TABLE = """
CREATE TABLE IF NOT EXISTS secrets (
    id INTEGER PRIMARY KEY,
    hash BLOB UNIQUE NOT NULL,
    secret BLOB UNIQUE NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""


class StoredRootKeys:
    """Root keys in table `secrets`, each under the SHA-256 of its identifier, as Aperture has them.

    Deleting a row revokes the credential. What was paid is not kept, here as there.
    """

    def __init__(self, path: Path) -> None:
        # One at a time: the gateway answers its requests in order.
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(_TABLE)

    def keep(self, digest: bytes, minted: Minted) -> None:
        """Keep a root key; when this returns, it outlives the process."""
        self._database.execute(
            "INSERT OR REPLACE INTO secrets (hash, secret) VALUES (?, ?)", (digest, minted.root_key)
        )

    def find(self, digest: bytes, identifier: bytes) -> Minted | None:
        """Return what is remembered of a macaroon, None when it was revoked or never minted."""
        row = self._database.execute("SELECT secret FROM secrets WHERE hash = ?", (digest,)).fetchone()
        if row is None:
            return None
        try:
            named = Identifier.decode(identifier)
        except IdentifierError:
            return None
        return Minted(row[0], named.payment_hash, 0, named.token_id)

    def drop(self, payment_hash: str) -> int:
        """Revoke nothing: to whom a payment belongs is not kept; an operator deletes the row."""
        return 0

    def close(self) -> None:
        """Close the file."""
        self._database.close()
