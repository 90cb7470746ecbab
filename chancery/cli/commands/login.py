"""login: authenticate by token or by an auth method, and keep the token for the next command."""

from collections.abc import Mapping, Sequence
from typing import Any

from chancery.cli import terminal
from chancery.cli.answers import Auth, Secret
from chancery.cli.client import Call
from chancery.cli.command import Arity, Prints, remote_command
from chancery.cli.commands.data import unwrap
from chancery.cli.failures import CallFailed, RemoteFailed, UsageFailed, failing_as
from chancery.cli.flags import BOOLEAN, STRING, Flag
from chancery.cli.golang import Json, render
from chancery.cli.keyvalues import parse_key_values
from chancery.cli.session import Session

STDIN = "-"
TOKEN_METHOD = "token"  # noqa: S105  # the method's name
_WITH_USER = frozenset({"userpass", "ldap", "radius", "okta"})
_WITH_FIELDS = frozenset({"approle", "cert", "jwt", "kubernetes"})

Fields = Mapping[str, Json]


@remote_command(
    "login",
    usage="[TOKEN | K=V...]",
    arity=Arity(0, None),
    prints=Prints.FORMAT | Prints.FIELD,
    flags=[
        Flag(
            "method", STRING, "How to authenticate: token, userpass, approle, cert, jwt ... Default token.", default=""
        ),
        Flag("path", STRING, "Where the auth method is enabled; otherwise at its name.", default=""),
        Flag("no-store", BOOLEAN, "Show the token, but do not keep it.", default=False),
        Flag("no-print", BOOLEAN, "Keep the token, but do not show it.", default=False),
        Flag("token-only", BOOLEAN, "Print nothing but the token, and do not keep it.", default=False),
    ],
)
def login_command(session: Session, arguments: Sequence[str], **values: Any) -> None:
    """Authenticate, and keep the token in ~/.vault-token for the commands that follow.

    By token: as the argument, from stdin with -, or asked for without echo. By another -method: its fields as K=V.
    """
    method = (values["method"] or TOKEN_METHOD).strip().lower()
    if values["token_only"]:
        _log_in_quietly(session, method, arguments, values["path"])
        return
    fields = _fields(session, method, arguments)
    with failing_as("Error authenticating"):
        secret = _authenticate(session, method, values["path"].strip("/") or method, fields)
        if secret.wrap_info is not None and not values["no_store"]:
            secret = _unwrapped(session, secret)
    if secret.auth is None:
        session.show(secret)
        return
    if not values["no_store"]:
        session.token_helper.store(secret.auth.client_token)
        _warn_of_environment(session)
    if not values["no_print"]:
        _show(session, secret, stored=not values["no_store"])


def _log_in_quietly(session: Session, method: str, arguments: Sequence[str], path: str) -> None:
    """Print the token, or the wrapping token, and nothing else."""
    fields = _fields(session, method, arguments)
    with failing_as("Error authenticating"):
        secret = _authenticate(session, method, path.strip("/") or method, fields)
    token = secret.auth.client_token if secret.auth else secret.wrap_info.token if secret.wrap_info else ""
    session.output.out.write(f"{token}\n" if session.output.out.isatty() else token)


def _fields(session: Session, method: str, arguments: Sequence[str]) -> Fields:
    """Read the arguments. A lone argument without `=` is the token."""
    if method == TOKEN_METHOD and arguments and "=" not in arguments[0] and not arguments[0].startswith("@"):
        first, *rest = arguments
        token = session.read_stdin().strip() if first == STDIN else first
        return {**parse_key_values(rest, session.read_stdin), "token": token}
    return parse_key_values(arguments, session.read_stdin)


def _authenticate(session: Session, method: str, path: str, fields: Fields) -> Secret:
    """Carry out the method. Raises CallFailed, or UsageFailed for a method that is not known here."""
    if method == TOKEN_METHOD:
        return _by_token(session, fields)
    if method in _WITH_USER:
        return _by_user(session, path, fields)
    if method not in _WITH_FIELDS:
        known = ", ".join(sorted({TOKEN_METHOD, *_WITH_USER, *_WITH_FIELDS}))
        raise UsageFailed(
            f"Unknown auth method: {method}. Known are {known}; for any other, write to its login path "
            f"with `chancery write auth/{path}/login`."
        )
    return _answered(session.client.written(Call("PUT", f"auth/{path}/login", body=dict(fields), token="")))


def _by_token(session: Session, fields: Fields) -> Secret:
    """Look the token up and describe it as a login would."""
    token = render(fields.get("token", "")).strip() or terminal.ask_hidden(
        "Token (will be hidden): ",
        remedy="pass - as the argument and the token on stdin",
        non_interactive=session.flags.non_interactive,
    )
    try:
        found = _answered(session.client_with(token=token).written(Call("GET", "auth/token/lookup-self", wraps=False)))
    except CallFailed as failed:
        raise CallFailed(f"error looking up token: {failed.message}") from failed
    return Secret(auth=_described(token, found.data or {}))


def _described(token: str, data: Fields) -> Auth:
    def texts(name: str) -> tuple[str, ...] | None:
        value = data.get(name)
        return tuple(map(render, value)) if isinstance(value, list) else None

    ttl, metadata = data.get("ttl"), data.get("meta")
    policies, identity = texts("policies") or (), texts("identity_policies")
    return Auth(
        client_token=token,
        accessor=render(data.get("accessor", "")),
        policies=tuple(sorted({*policies, *(identity or ())})),
        token_policies=policies,
        identity_policies=identity,
        metadata=metadata if isinstance(metadata, dict) else None,
        lease_duration=ttl if isinstance(ttl, int) else 0,
        renewable=data.get("renewable") is True,
    )


def _by_user(session: Session, path: str, fields: Fields) -> Secret:
    """Log in with a user name and a password, which is asked for when it is not given."""
    username = render(fields.get("username", "")).strip()
    if not username:
        raise CallFailed("'username' must be specified")
    password = fields.get("password")
    if password is None:
        password = terminal.ask_hidden(
            "Password (will be hidden): ",
            remedy="give it on stdin with password=-",
            non_interactive=session.flags.non_interactive,
        )
    body = {**{name: value for name, value in fields.items() if name != "username"}, "password": password}
    return _answered(session.client.written(Call("PUT", f"auth/{path}/login/{username}", body=body, token="")))


def _answered(secret: Secret | None) -> Secret:
    if secret is None:
        raise CallFailed("the answer is empty")
    return secret


def _unwrapped(session: Session, secret: Secret) -> Secret:
    """Unwrap the answer to a login that -wrap-ttl had wrapped."""
    wrapping = secret.wrap_info.token if secret.wrap_info else ""
    unwrapped = unwrap(session, wrapping)
    if unwrapped is None or unwrapped.auth is None:
        raise RemoteFailed("Error authenticating: the wrapped answer holds no token")
    return unwrapped


def _warn_of_environment(session: Session) -> None:
    spelling = session.environment.spelling("TOKEN")
    if spelling:
        session.output.notice(
            f"WARNING! {spelling} is set in the environment and goes before the token just stored.\n"
            "Unset it to use this one.\n"
        )


def _show(session: Session, secret: Secret, *, stored: bool) -> None:
    """Print the token; say first, to people, what became of it."""
    if session.output.field or not session.output.is_table:
        session.output.secret(secret)
        return
    if stored:
        session.output.line(
            f"Success! You are now authenticated. The token below is kept in {session.token_helper.path},\n"
            "and the commands that follow will use it.\n"
        )
    else:
        session.output.line("Success! You are now authenticated. The token below was not stored.\n")
    session.output.secret(secret)
