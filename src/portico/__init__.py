"""Portico: an AI gateway. One front door from any client dialect to any model, at any provider.

Importing the package is free of side effects and pulls in nothing heavy; the entry points are the
`portico` command (`portico.cli`) and, for embedding, `portico.asgi.create_app`.
"""

__version__ = "0.1.0"
