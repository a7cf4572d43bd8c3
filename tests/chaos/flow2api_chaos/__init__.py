"""The run under faults: everything is killed, cut and spoiled while videos are made, and then the books are checked."""
