"""Chat Completions as a client's dialect."""

from portico.dialects.chat.details import FORMAT, strip
from portico.dialects.chat.request_in import read
from portico.dialects.chat.response_out import respond
from portico.dialects.chat.stream_out import ChatStreamOut
from portico.dialects.translate import ClientSide
from portico.model.sealed import PREFIX

CLIENT = ClientSide(
    name="chat",
    read=read,
    respond=respond,
    stream=ChatStreamOut,
    strip=strip,
    marks=(PREFIX.encode(), FORMAT.encode()),
)
