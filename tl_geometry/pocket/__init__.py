"""The embedded ("pocket") models: their world, their training and what they were measured to do."""
