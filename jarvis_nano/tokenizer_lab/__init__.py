"""The tokenizer lab: a sample of a corpus to train on, tokenizers compared on French, and what one of them loses."""
