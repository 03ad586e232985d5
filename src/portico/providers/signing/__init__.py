"""Signing requests, and getting hold of what they are signed with."""
