"""`make bench`: the gateway against nginx and against nothing, in one run on one machine.

Run as `python -m bench` from the root of the repository. `bench/README.md` says how to read it.
"""
