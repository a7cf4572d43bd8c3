"""Google's Gemini API, translated to gRPC and back."""
