"""What the two official APIs have in common: words of errors, generateContent, interactions, Veo, files of results.

Source of every wire fact here: docs/upstream/google-official.md.
"""
