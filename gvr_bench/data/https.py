"""HTTPS and nothing else: neither files, nor FTP, nor redirects to what is not encrypted."""

from __future__ import annotations

from http.client import HTTPResponse
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Refused(Exception):  # noqa: N818 - it is an answer
    """This address does not give the file, and asking again is of no use."""


def open_url(url: str, headers: dict[str, str], silence: float) -> HTTPResponse:
    """Ask for a URL; `silence` is how long the server may say nothing, in seconds.

    Plain HTTP is for a server on this machine alone. Raises `Refused`, `URLError` or `HTTPError`.
    """
    refuse_insecure(url, url)
    director = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
        Redirects(url),
    ):
        director.add_handler(handler)
    request = Request(url, headers=headers)  # noqa: S310 - it is HTTPS, as was checked
    answer: HTTPResponse = director.open(request, timeout=silence)
    return answer


class Redirects(HTTPRedirectHandler):
    """Follows at most ten redirects, to HTTPS alone."""

    def __init__(self, first: str) -> None:
        self.first = first

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """Refuse what is not HTTPS. Raises `Refused`."""
        refuse_insecure(newurl, self.first)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def refuse_insecure(url: str, first: str) -> None:
    """Raise `Refused` unless a URL is HTTPS, or this machine and so was the `first`."""
    parts, origin = urlsplit(url), urlsplit(first)
    here = parts.hostname in LOOPBACK and origin.hostname in LOOPBACK
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise Refused(f"it leads to {url[:200]}, which is not https")
