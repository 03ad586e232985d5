"""A scripted model provider: no key, no network, the three dialects' exact wire shapes.

`script.py` decides what the model says, `chat.py`, `responses.py` and `messages.py` say it in
their dialect, `provider.py` serves it over HTTP and `directives.py` documents how a test makes it
misbehave. The renderers share nothing with `portico.dialects`, so that tests compare two
independent implementations.
"""
