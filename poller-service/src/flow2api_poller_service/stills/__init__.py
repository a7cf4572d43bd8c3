"""Stills of clips: a thumbnail and a sheet of frames, and whether the clip plays at all.

The bytes of a clip come from outside, and decoders of video are large programs with a long history of holes. They run
in a process of their own, which has no environment, no files, little memory and little time; it sees the clip through
its pipes alone.
"""
