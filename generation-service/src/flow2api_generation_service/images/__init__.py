"""Pictures, from the request to the stored file."""
