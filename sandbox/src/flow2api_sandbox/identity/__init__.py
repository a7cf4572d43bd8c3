"""Who somebody is: service accounts, users, the token endpoint, the metadata server.

Source: docs/upstream/google-official.md, section 3.
"""
