"""Image jobs: pictures that are made without anybody waiting for them."""
