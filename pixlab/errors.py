"""The one exception family of pixlab: what is wrong, where, and what to do next."""

from __future__ import annotations

__all__ = ["Cancelled", "FormatError", "PixlabError", "PixlabWarning", "UnknownModuleError"]


class PixlabError(Exception):
    """Anything a user can cause or meet; its text is one line that ends in a next step.

    Parameters
    ----------
    cause : str
        What is wrong and where (file, event, column, id).
    hint : str, optional
        The next step for the user.
    """

    def __init__(self, cause: str, hint: str = "") -> None:
        self.cause = " ".join(str(cause).split())
        self.hint = " ".join(str(hint).split())
        super().__init__(f"{self.cause}; {self.hint}" if self.hint else self.cause)


class FormatError(PixlabError):
    """A file or a stream of bytes is damaged, hostile or of another kind than it claims."""


class UnknownModuleError(PixlabError):
    """A raw detector id that the chosen detector does not have."""


class Cancelled(PixlabError):
    """The progress callback of some work asked to stop."""


class PixlabWarning(UserWarning):
    """Something that was settled one way, and may be meant another way; says what to do about it."""
