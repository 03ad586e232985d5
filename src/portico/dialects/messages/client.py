"""The Messages dialect of clients."""

from portico.dialects.messages.request_in import read
from portico.dialects.messages.response_out import respond
from portico.dialects.messages.stream_out import MessagesOut
from portico.dialects.messages.strip import MARKS, strip
from portico.dialects.translate import ClientSide

__all__ = ["CLIENT"]

CLIENT = ClientSide(
    name="messages", read=read, respond=respond, stream=MessagesOut, strip=strip, marks=MARKS
)
