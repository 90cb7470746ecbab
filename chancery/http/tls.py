"""TLS contexts of listeners, and their reloading without dropping a connection."""

import ssl

from chancery.settings import Listener, SettingsError

_MINIMUM = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}


def context_for(listener: Listener) -> ssl.SSLContext | None:
    """Build the context of a listener, None without TLS. Raises SettingsError when the files are unusable."""
    if listener.tls_disable:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _MINIMUM[listener.tls_min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    load_files(context, listener)
    return context


def load_files(context: ssl.SSLContext, listener: Listener) -> None:
    """Load certificate, key and client CA into a context; new connections use them at once.

    Raises SettingsError, with the context unchanged, when they are unusable.
    """
    assert listener.tls_cert_file is not None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(listener.tls_cert_file, listener.tls_key_file)
        context.load_cert_chain(listener.tls_cert_file, listener.tls_key_file)
        if listener.tls_client_ca_file is not None:
            context.load_verify_locations(listener.tls_client_ca_file)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError([f"listener {listener.address}: TLS files are unusable: {error}"]) from None
    if listener.tls_client_ca_file is not None:
        required = listener.tls_require_and_verify_client_cert
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        # The file may name an intermediate, or one client's own certificate, without the root above it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # A resumed session has lost the certificates that the client sent along with its own.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
