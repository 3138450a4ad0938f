"""Requests without any client package."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from llmcost_plugins.testing import SimulatedProvider


def send(provider: SimulatedProvider, path: str, body: Any, **headers: str) -> tuple[int, str]:
    """POST a JSON body; return the status and the text of the answer."""
    connection = http.client.HTTPConnection(urlsplit(provider.root_url).netloc, timeout=5)
    try:
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def post(provider: SimulatedProvider, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """POST a JSON body; return the status and the JSON of the answer."""
    status, text = send(provider, path, body, **headers)
    return status, json.loads(text)
