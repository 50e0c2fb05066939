"""TLS as a client: a server must show a certificate of an authority that is trusted, for the name it was asked by."""

from __future__ import annotations

import ssl
from pathlib import Path

from famulus.errors import SettingsError


def client_context(
    *, ca_file: Path | None, cert_file: Path | None, key_file: Path | None, prefix: str
) -> ssl.SSLContext:
    """A context that checks chain and name, and shows a certificate of ours where the server asks for one.

    Raises `SettingsError` naming the variable, which begins with the prefix, of a file that cannot be used.
    """
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{prefix}_CA_FILE", f"{ca_file} holds no certificates that can be read: {error}"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file is not None:
        try:
            context.load_cert_chain(cert_file, key_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"{prefix}_CERT_FILE", f"{cert_file} and its key cannot be used as a certificate of ours: {error}"
            ) from error
    elif key_file is not None:
        raise SettingsError(f"{prefix}_CERT_FILE", f"not set, but {prefix}_KEY_FILE is: name the certificate too")
    return context
