"""How an admin page answers."""

import msgspec
from starlette.responses import Response


def answer(body: object, status: int = 200) -> Response:
    """`body` as JSON, with a newline for terminals."""
    return Response(msgspec.json.encode(body) + b"\n", status, media_type="application/json")


def refusal(status: int, message: str) -> Response:
    """An error, as JSON too."""
    return answer({"error": {"message": message, "status": status}}, status)
