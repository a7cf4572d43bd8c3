"""What every Flow2API service needs to run: settings, logs, telemetry, gRPC, NATS, errors, media store."""
