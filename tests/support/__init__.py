"""Support for fault tests: a scripted upstream, a raw client, a TCP proxy with toxics.

None of it shares code with Portico.
"""
