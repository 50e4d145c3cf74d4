"""What a schema says of values that it refuses, in one line."""

from pydantic import ValidationError

_LONGEST = 80


def first_fault(error: ValidationError) -> str:
    """The first fault: where it is, what is wrong, and the value that is there."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"not JSON: {first['ctx']['error']}"
    where = ".".join(str(part) for part in first["loc"])
    what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and isinstance(first["input"], dict):  # of several keys, whose values it names
        return f"{where}: {what}" if where else what
    value = " ".join(repr(first["input"])[:_LONGEST].split()) if not isinstance(first["input"], str) else first["input"]
    return f"{where}: {what} (value: {value[:_LONGEST]})"
