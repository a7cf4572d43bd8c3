"""The HTTP door: OpenAI, Gemini and admin protocols translated to gRPC."""
