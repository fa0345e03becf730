"""An error as a command tells it: an exit code and a sentence, with the id of the load that it ended."""

from __future__ import annotations

RUN = "run "
"""How the note begins that an error of a load carries."""


def noted(error: BaseException, run_id: str) -> None:
    """Have an error carry the id of the load that it ended."""
    error.add_note(f"{RUN}{run_id}")


def code(error: BaseException) -> int:
    """The exit code of whatever ended a command."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return failure(error)[0]


def failure(error: BaseException, more: str = "", debug: str = "") -> tuple[int, str]:
    """The exit code and the sentence of an error, and `more`. debug: the environment variable that shows tracebacks."""
    found, text = _failure(error, debug)
    text += more
    run = next((note for note in getattr(error, "__notes__", ()) if note.startswith(RUN)), "")
    return found, f"{text} ({run})" if run else text


def _failure(error: BaseException, debug: str) -> tuple[int, str]:
    if isinstance(error, KeyboardInterrupt):
        return 130, "Interrupted"
    from buildkite_ci.errors import BadInput, BuildkiteError
    from buildkite_ci.privacy import redact

    from .database import DatabaseTrouble
    from .loads import Busy

    text = redact(str(error)).strip()
    if isinstance(error, Busy):
        return 4, text
    if isinstance(error, BadInput) and not isinstance(error, DatabaseTrouble):
        return 2, text
    if isinstance(error, BuildkiteError) or type(error).__module__.endswith("duckdb"):
        return 1, text
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return 1, f"{where}{error.strerror or text}"
    return 1, f"Something unexpected happened, {type(error).__name__}: {text}. With {debug}=1 it says where"
