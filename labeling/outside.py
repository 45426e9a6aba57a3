"""Sending one request to an address that a person typed in: never to this machine or its network unless that is allowed."""

import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.utils.translation import gettext as _

TIMEOUT_S = 10.0
KEPT_BYTES = 2000


class Unreachable(Exception):
    """The address was not asked, or did not answer. The text says why, for people."""


@dataclass(frozen=True)
class Answer:
    status: int
    text: str


def post(url: str, *, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Post `body` within ten seconds; redirects are answers like any other. Raises Unreachable.

    The name is resolved once, all its addresses are checked, and the connection goes to one of those: a name that
    resolves to something else a moment later gains nothing.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    target = by_number(url, setting="WEBHOOK_PRIVATE")
    sent = {**headers, "Host": parts.netloc.rpartition("@")[2]}
    ends = time.monotonic() + TIMEOUT_S
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", target, content=body, headers=sent, extensions={"sni_hostname": host}) as response,
        ):
            kept = b""
            for piece in response.iter_raw():
                kept += piece[: KEPT_BYTES - len(kept)]
                if len(kept) >= KEPT_BYTES or time.monotonic() > ends:
                    break
            return Answer(response.status_code, kept.decode("utf-8", "replace").replace("\x00", ""))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise Unreachable(f"{type(error).__name__}: {error}"[:500]) from error


def by_number(url: str, *, setting: str) -> str:
    """Return the URL with an address in place of its host's name. Raises Unreachable.

    All addresses of the host have to be public, unless the setting of that name allows this network.
    """
    parts = urlsplit(url)
    place = _address(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), setting)
    shown = f"[{place}]" if ":" in place else place
    return parts._replace(netloc=shown + (f":{parts.port}" if parts.port else "")).geturl()


def _address(host: str, port: int, setting: str) -> str:
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise Unreachable(_("The name %(host)s cannot be resolved.") % {"host": host}) from error
    if not getattr(settings, setting) and not all(is_public(each) for each in found):
        raise Unreachable(
            _("%(host)s is an address of this network. EMEND_%(setting)s=1 allows it.")
            % {"host": host, "setting": setting}
        )
    return sorted(found, key=lambda each: ":" in each)[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, also where an IPv6 address wraps an IPv4 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.sixtofour or ip.teredo or ip in ipaddress.ip_network("64:ff9b::/96"):
            return False
        ip = ip.ipv4_mapped or ip
    return ip.is_global and not ip.is_multicast
