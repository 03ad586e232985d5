"""`portico schema`: the configuration's JSON Schema, for editors and CI."""

import json

from portico.config.jsonschema import json_schema


def schema() -> int:
    """Print the schema (draft 2020-12) and return exit code 0."""
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
