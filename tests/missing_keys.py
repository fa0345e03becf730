"""What the official REST samples have and the stand-in has not, or has otherwise: each with its reason."""

MISSING: dict[str, str] = {}
"""`sample: path.of.the.key` -> why the stand-in leaves it out."""

OTHERWISE: dict[str, str] = {}
"""`sample: path.of.the.key` -> why the stand-in's value may be of another JSON type."""
