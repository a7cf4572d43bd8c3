"""OpenAI's protocol, translated to gRPC and back."""
