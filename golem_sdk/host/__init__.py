"""What agent code may call besides its own libraries."""
