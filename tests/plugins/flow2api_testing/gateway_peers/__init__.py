"""Small fakes of the generated contract, served by real gRPC servers as the peers of a gateway under test."""
