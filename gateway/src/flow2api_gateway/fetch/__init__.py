"""Pictures that clients name by URL, fetched without being talked into private addresses."""
