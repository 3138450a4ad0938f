"""Sends alerts over HTTP: signed, within a time-out, never along a redirect."""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from llmcost_plugins.errors import ConfigurationError

if TYPE_CHECKING:
    import urllib.request

    from llmcost_plugins.settings import Settings

SHORTEST_SECRET: Final = 16
_REDIRECTS: Final = range(300, 400)
_SHOWN: Final = 12  # letters of a bad address; the rest may be as good as a password


class NotDelivered(Exception):  # noqa: N818 - says what has become of the alert
    """The webhook has not taken an alert; the message says why, without the address's path."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that alerts are posted to.

    Args:
        url: ``https`` or ``http``. Not shown: the path of many is as good as a password.
        secret: signs what is sent, see `signature`; without one nothing is signed.
        timeout: how long it may be silent.

    Raises:
        ConfigurationError: the address is none, or the secret is too short to protect anything.
    """

    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    timeout: timedelta = timedelta(seconds=5)

    def __post_init__(self) -> None:
        self._check_url()
        if self.secret and len(self.secret) < SHORTEST_SECRET:
            msg = (
                f"the secret of the webhook has {len(self.secret)} characters; it needs "
                f"{SHORTEST_SECRET} or more. LLMCOST_ALERT_SECRET sets it."
            )
            raise ConfigurationError(msg)
        if self.timeout <= timedelta(0):
            msg = f"the time-out of the webhook is {self.timeout}; it must be more than 0 seconds"
            raise ConfigurationError(msg)

    @property
    def host(self) -> str:
        """The host, for messages."""
        return urlsplit(self.url).hostname or ""

    def send(self, key: str, payload: str, at: datetime) -> None:
        """Post a JSON object.

        Args:
            key: the same for each try of an alert; a receiver that has seen it may drop the rest.
            payload: the object.
            at: the current instant, which is signed with it.

        Raises:
            NotDelivered: anything but an answer of 2xx.
        """
        import http.client
        import urllib.error
        import urllib.request

        body = payload.encode()
        request = urllib.request.Request(  # noqa: S310 - its scheme is checked
            self.url, data=body, headers=self._headers(key, body, at), method="POST"
        )
        opener = urllib.request.build_opener(_refusal_of_redirects())
        try:
            with opener.open(request, timeout=self.timeout.total_seconds()):
                return
        except urllib.error.HTTPError as error:
            error.close()
            moved = "; redirects are refused" if error.code in _REDIRECTS else ""
            msg = f"{self.host} answered {error.code}{moved}"
        except urllib.error.URLError as error:
            msg = f"{self.host} cannot be reached: {error.reason}"
        except TimeoutError:
            msg = f"{self.host} said nothing for {self.timeout.total_seconds():g} s"
        except (OSError, http.client.HTTPException, ValueError) as error:
            msg = f"{self.host} cannot be reached: {type(error).__name__}"
        raise NotDelivered(msg)

    def _headers(self, key: str, body: bytes, at: datetime) -> dict[str, str]:
        moment = str(int(at.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "llmcost-plugins",
            # Keys may have any letters; headers may not.
            "Idempotency-Key": hashlib.sha256(key.encode()).hexdigest(),
            "X-LLMCost-Timestamp": moment,
        }
        if self.secret:
            headers["X-LLMCost-Signature"] = signature(self.secret, moment, body)
        return headers

    def _check_url(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_good = parts.scheme in {"http", "https"} and bool(parts.hostname)
            is_good = is_good and parts.port != 0 and self.url.isprintable()
        except ValueError:  # such as a port that is no number
            is_good, parts = False, urlsplit("")
        if not is_good or not self.url.isascii() or " " in self.url:
            msg = (
                f"the webhook {self.url[:_SHOWN]!r}... is no address; a good value is "
                f"LLMCOST_ALERT_WEBHOOK='https://alerts.example.com/llmcost'"
            )
            raise ConfigurationError(msg)
        if parts.username is not None or parts.password is not None:
            msg = "the address of the webhook has a user in it, which is not sent; take it out"
            raise ConfigurationError(msg)


def webhook_of(settings: "Settings") -> Webhook | None:
    """Return the webhook that the settings name, if any.

    Raises:
        ConfigurationError: it cannot be used.
    """
    if not settings.alert_webhook:
        return None
    secret = settings.alert_secret.get_secret_value()
    return Webhook(settings.alert_webhook, secret, settings.alert_timeout)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what the header ``X-LLMCost-Signature`` must be: HMAC-SHA256 in hexadecimal.

    Args:
        secret: the one that both sides know.
        timestamp: the header ``X-LLMCost-Timestamp``, in seconds since 1970; refuse an old one.
        body: the request's body as it came.
    """
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def _refusal_of_redirects() -> "urllib.request.HTTPRedirectHandler":
    import urllib.request

    class Refusal(urllib.request.HTTPRedirectHandler):
        def redirect_request(  # noqa: PLR0913, PLR0917 - urllib's signature
            self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
        ) -> None:
            """Follow none: what is sent is for the address that was set."""

    return Refusal()
