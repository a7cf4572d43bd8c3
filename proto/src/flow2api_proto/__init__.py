"""The gRPC and NATS contract of Flow2API: sources and generated stubs."""
