"""Loads the project's pytest plugin for every test of the workspace."""

from hypothesis import settings

# A busy machine must not fail a test: nothing asserts a time.
settings.register_profile("flow2api", deadline=None)
settings.load_profile("flow2api")

# Named here and not with ``-p``: the ``pythonpath`` setting does not reach plugins named on the command line.
pytest_plugins = ("flow2api_testing",)
