"""What operators and orchestrators ask for: health, readiness, metrics."""
