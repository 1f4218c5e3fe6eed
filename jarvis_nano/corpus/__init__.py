"""Text, without torch: the built-in French (stories, assistant, checker), readers of other sources, normalisation."""
