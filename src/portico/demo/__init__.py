"""A scripted model provider: no key, no network, the exact wire shapes of five dialects.

`script.py` decides what the model says. Each dialect has a file that says it (`chat.py`,
`responses.py`, `messages.py`, `gemini.py`, `converse.py`) and files that read and refuse requests
as the real service does (`*_in.py` and what they import). `routes.py` knows the paths of OpenAI,
Anthropic, Azure, Google and Amazon, `provider.py` serves them over HTTP and `directives.py`
documents how a test makes the model misbehave. Nothing is shared with `portico.dialects`, so that
tests compare two independent implementations.
"""
