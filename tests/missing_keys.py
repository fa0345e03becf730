"""What the official REST samples have and the stand-in has not, or has otherwise: each with its reason."""

OLD = "an alias from before `command`, in the two samples of agents only; api.md 4.4 and every other job lack it"

MISSING: dict[str, str] = {"agents__01: job.script_path": OLD, "agents__02: job.script_path": OLD}
"""`sample: path.of.the.key` -> why the stand-in leaves it out."""

OTHERWISE: dict[str, str] = {}
"""`sample: path.of.the.key` -> why the stand-in's value may be of another JSON type."""
