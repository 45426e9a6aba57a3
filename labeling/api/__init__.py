"""The interfaces of programs: keys for /v1, and /api/v1, which does what the pages of labeling do."""
