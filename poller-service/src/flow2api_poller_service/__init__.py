"""Follows submitted videos to their end and stores their media."""
