"""The model catalog, images end to end, and the life of every video job."""
