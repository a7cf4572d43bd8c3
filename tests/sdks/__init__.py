"""The clients that people have, each against the whole system in both modes: docs/compatibility.md."""
