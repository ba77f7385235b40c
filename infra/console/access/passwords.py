"""Passwords: Argon2id hashes, and the same work for a user that is not there."""

import secrets
import unicodedata
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from infra.console.access.store import AccessError

SHORTEST, LONGEST = 12, 256


class Passwords:
    """hasher: other parameters than argon2-cffi's own, which follow RFC 9106 (64 MiB, 3 passes)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()

    @cached_property
    def _nobodys(self) -> str:
        """Of nobody's password: whether a name is known must not be seen from how long the answer takes."""
        return self._hasher.hash(secrets.token_urlsafe())

    def hash(self, password: str, *, name: str) -> str:
        """What is stored of it. name: of its user. Raises AccessError."""
        plain = _normal(password)
        if not SHORTEST <= len(plain) <= LONGEST:
            raise AccessError(f"a password has {SHORTEST} to {LONGEST} characters, not {len(plain)}")
        if (name in plain.casefold() and len(plain) - len(name) < SHORTEST // 2) or len(set(plain)) < 5:
            raise AccessError("this password is too easy to guess: it is little more than the name, or one character")
        return self._hasher.hash(plain)

    def matches(self, password: str, stored: str | None) -> bool:
        """Whether it is the one that was hashed. stored: None for a user that is not there, which takes as long."""
        if len(password) > LONGEST:
            password = ""
        try:
            self._hasher.verify(self._nobodys if stored is None else stored, _normal(password))
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether it was hashed with other parameters than those of now."""
        return self._hasher.check_needs_rehash(stored)

    def again(self, password: str) -> str:
        """A hash with the parameters of now, of a password that has just matched."""
        return self._hasher.hash(_normal(password))


def _normal(password: str) -> str:
    """The same characters may come as other code points from another keyboard (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)
