"""TLS to ClickHouse: are the files right, and what do failures of a handshake mean for people."""

import re
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.clickhouse.client import Address

_ALERT = re.compile(r"ALERT_(\w+)")


def wrong_file(address: "Address") -> str:
    """What is wrong with the files for TLS; empty when nothing is. The client itself would not say which one."""
    given = [name for name in ("ca_file", "cert_file", "key_file") if getattr(address, name)]
    if given and not address.secure:
        return f"clickhouse.{given[0]}: is for TLS, and clickhouse.secure is false"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if address.ca_file:
            context.load_verify_locations(address.ca_file)
    except OSError as error:
        return f"clickhouse.ca_file = {address.ca_file!r}: {_reason(error)}; expected a PEM file"
    try:
        if address.cert_file or address.key_file:
            # A password is always given: without one OpenSSL would ask on the terminal, and wait.
            context.load_cert_chain(address.cert_file, address.key_file or None, lambda: "")
    except OSError as error:
        return (
            f"clickhouse.cert_file = {address.cert_file!r}, clickhouse.key_file = {address.key_file!r}: "
            f"{_reason(error)}; expected PEM files that belong together, the key without a password"
        )
    return ""


def refusal(error: BaseException) -> str:
    """What a failed handshake means that waiting does not heal; empty for all else."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}: check clickhouse.ca_file and clickhouse.host"
    if not isinstance(error, ssl.SSLError):
        return ""
    said = f"{error.reason or ''} {error}"
    if alert := _ALERT.search(said):
        return (
            f"it wants a certificate of ours, and not the one it got ({alert[1].replace('_', ' ').lower()}): check "
            "clickhouse.cert_file and clickhouse.key_file"
        )
    if "WRONG_VERSION_NUMBER" in said or "RECORD_LAYER_FAILURE" in said:
        return "it does not speak TLS at that port: check clickhouse.port and clickhouse.secure"
    return ""


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return error.strerror or str(error)
