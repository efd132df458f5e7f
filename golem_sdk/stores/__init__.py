"""What the store keeps beside the oplogs: queued invocations, results, wake-ups and agent heads."""
