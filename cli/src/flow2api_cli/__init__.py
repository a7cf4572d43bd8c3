"""The flow2api command: all-in-one mode, single services, tokens, keys, jobs."""

import os

# gRPC's own library writes to standard error past our logs, also about connections that end in an orderly way. It reads
# this when it is first imported, which is later than this line; errors stay. What the operator has set wins.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
