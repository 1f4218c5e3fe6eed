"""The data of a page, as JSON that may stand within its <script>."""

from __future__ import annotations

import json
from typing import Any


def script_data(value: Any) -> str:
    """Compact JSON without a character that HTML would read: nothing in it can end the element. ValueError on NaN."""
    data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
