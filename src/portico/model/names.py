"""Model names in the configuration: exact, `prefix*`, `*suffix` or `*`."""


def covers(pattern: str, model: str) -> bool:
    """Whether a configured name covers a model name."""
    if pattern.endswith("*"):
        return model.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return model.endswith(pattern[1:])
    return model == pattern
