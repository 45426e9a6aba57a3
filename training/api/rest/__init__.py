"""Jobs and models at /api/v1, which does what their pages do."""
