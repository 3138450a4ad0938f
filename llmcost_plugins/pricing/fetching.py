"""Fetches a file over HTTP, within limits of size and time."""

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import IO, Final

from llmcost_plugins.errors import ConfigurationError

MOST_BYTES: Final = 64 * 2**20
"""LiteLLM's map has 3.5 MB."""
MOST_SECONDS: Final = 60
_SILENCE: Final = 15  # seconds without a byte
_CHUNK: Final = 64 * 2**10

Told = Callable[[int, int | None], None]
"""Is told how many bytes have come, and how many there will be when that is known."""


def fetch(
    url: str,
    *,
    most_bytes: int = MOST_BYTES,
    most_seconds: float = MOST_SECONDS,
    told: Told = lambda _done, _size: None,
) -> bytes:
    """Return what is at an ``http`` or ``https`` URL.

    Raises:
        ConfigurationError: it cannot be fetched, is larger than *most_bytes*, takes longer than
            *most_seconds*, or is redirected to something less safe.
    """
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        msg = f"{url!r} is no address to fetch prices from; it must begin with https:// or http://"
        raise ConfigurationError(msg)
    end = time.monotonic() + most_seconds
    opener = urllib.request.build_opener(_NoDowngrade())
    request = urllib.request.Request(url, headers={"User-Agent": "llmcost-plugins"})  # noqa: S310 - its scheme is checked
    try:
        with opener.open(request, timeout=min(_SILENCE, most_seconds)) as answer:
            return _read(answer, most_bytes, end, told)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # HTTPError and URLError are OSErrors; a URL with odd characters is a ValueError.
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        msg = (
            f"the prices at {url!r} cannot be fetched: {error}. Try again, name another address "
            f"with --url, or a file that you have with --file"
        )
        raise ConfigurationError(msg) from None


def _read(answer: http.client.HTTPResponse, most_bytes: int, end: float, told: Told) -> bytes:
    length = answer.headers.get("Content-Length", "")
    size = int(length) if length.isdecimal() else None
    content = bytearray()
    while chunk := answer.read1(_CHUNK):
        content += chunk
        told(len(content), size)
        if len(content) > most_bytes:
            msg = f"it has more than {most_bytes:,} bytes"
            raise OSError(msg)
        if time.monotonic() > end:
            msg = "it takes too long"
            raise TimeoutError(msg)
    if size is not None and len(content) < size:
        msg = f"it ended after {len(content):,} of {size:,} bytes"
        raise OSError(msg)
    return bytes(content)


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https, and from http to http."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in {"https", req.type}:
            fp.close()
            text = f"it is redirected to {newurl!r}"
            raise urllib.error.URLError(text)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
