"""MediaWiki: a dump's envelope to pages (dump.py), a page's wikitext to plain text (the scanner and its templates)."""
