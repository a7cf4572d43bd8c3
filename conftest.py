"""Loads the project's pytest plugin for every test of the workspace."""

# Named here and not with ``-p``: the ``pythonpath`` setting does not reach plugins named on the command line.
pytest_plugins = ("flow2api_testing",)
