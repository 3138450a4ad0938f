"""What all endpoints of OpenAI's API share: the API key, errors, checks of parameters."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from llmcost_plugins.testing.dialects.base import ApiError, Call, JsonObject

_NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header"
    " using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)
_CODES = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}
_TYPES = {429: "requests"}


class OpenAIEndpoint:
    """The base of the OpenAI dialects."""

    behaviors: frozenset[str] = frozenset()

    def is_stream(self, body: Mapping[str, Any]) -> bool:
        """Tell whether the body asks for a stream."""
        return body.get("stream") is True

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Accept any bearer token."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise ApiError(401, _NO_KEY)

    def error_body(self, error: ApiError) -> JsonObject:
        """Return OpenAI's error object."""
        theirs = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        fallback = "server_error" if theirs else "invalid_request_error"
        return {
            "error": {
                "message": error.message,
                "type": _TYPES.get(error.status, fallback),
                "param": error.param,
                "code": error.code or _CODES.get(error.status),
            }
        }


def used_tier(call: Call) -> str | None:
    """Return the tier that was used: the real API names it, and "auto" is not one."""
    requested: str | None = call.body.get("service_tier")
    return call.behavior.service_tier or ("default" if requested == "auto" else requested)


def bad_value(*, param: str, expected: str) -> ApiError:
    """Return the 400 for a parameter that is not what was expected."""
    return ApiError(400, f"Invalid value for '{param}': expected {expected}.", param=param)


def require(body: Mapping[str, Any], param: str) -> Any:
    """Return a parameter, or raise OpenAI's 400 if it is missing."""
    if body.get(param) is None:
        message = f"Missing required parameter: '{param}'."
        raise ApiError(400, message, param=param, code="missing_required_parameter")
    return body[param]


def positive_int(body: Mapping[str, Any], param: str) -> int | None:
    """Return a whole number >= 1, or None if absent; raises the 400 for anything else."""
    value = body.get(param)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise bad_value(param=param, expected="an integer >= 1")
    return value
