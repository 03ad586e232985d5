"""`portico capabilities`: what can be asked of which provider, as Markdown."""

import sys
from pathlib import Path

from portico.cli.matrix import page

BEGIN = "<!-- made by `portico capabilities`: begin -->"
END = "<!-- made by `portico capabilities`: end -->"


def capabilities(into: str | None) -> int:
    """Print the tables, or write them between the markers of the file `into`.

    Returns the exit code: 0; 2 if the file cannot be read or written, or has no markers.
    """
    if into is None:
        print(page(), end="")
        return 0
    path = Path(into)
    try:
        made = spliced(path.read_text(encoding="utf-8"), page())
        path.write_text(made, encoding="utf-8")
    except OSError as error:
        print(f"{into}: {error.strerror or 'cannot be used'}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"{into}: {error}", file=sys.stderr)
        return 2
    return 0


def spliced(text: str, tables: str) -> str:
    """`text` with `tables` between its markers. Raises ValueError when they are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the markers {BEGIN!r} and {END!r} are not there")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"
