"""The templates of the French Wikipedia, rendered as its readers see them."""
