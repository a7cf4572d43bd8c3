"""Stored files and the pictures that go into generations."""
