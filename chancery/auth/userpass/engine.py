"""`userpass` as a mounted auth method: users, their passwords, and logging in."""

import hmac
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from chancery.auth.userpass.passwords import Passwords, checked_hash, is_ours
from chancery.auth.userpass.users import (
    LogIn,
    PasswordParams,
    PolicyParams,
    User,
    UserName,
    WriteUser,
    changed,
    login_of,
    render,
    user_name,
    with_policies,
)
from chancery.kit.engine import MountContext
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import NoParams
from chancery.kit.request import Answer, Login, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import ABSENT, Document, DocumentMoved, Schema

_REFUSAL = "invalid username or password"


class UserpassMethod:
    """One mount."""

    def __init__(self, context: MountContext, passwords: Passwords) -> None:
        self._users = context.documents.collection("user", User)
        self._lockouts = context.lockouts
        self._passwords = passwords

    def routes(self) -> Sequence[Route]:
        """Return the paths below the mount."""
        return [
            Route(pattern="login/{username}", update=endpoint(self.log_in, LogIn), unauthenticated=True),
            Route(pattern="users", list=endpoint(self.list, responses=("keys",))),
            Route(
                pattern="users/{username}",
                read=endpoint(self.read, UserName),
                update=endpoint(self.write, WriteUser),
                delete=endpoint(self.delete, UserName),
                exists=self.exists,
            ),
            Route(pattern="users/{username}/password", update=endpoint(self.write_password, PasswordParams)),
            Route(pattern="users/{username}/policies", update=endpoint(self.write_policies, PolicyParams)),
        ]

    async def start(self) -> None:
        """Nothing to make ready; the first password makes the threads."""

    async def stop(self) -> None:
        """Nothing to give back."""

    async def erase(self) -> None:
        """Nothing beside the documents, which the host erases."""

    async def renew(self, renewal: Mapping[str, str], now: datetime) -> Login:  # noqa: ARG002 - users do not expire
        """Vouch again for a user whose policies are still what they were."""
        document = await self._users.get(renewal["username"])
        if document is None:
            raise BadInput("the user is gone, not renewing")
        login = login_of(document.name, document.value)
        if login.renewal["policies"] != renewal["policies"]:
            raise BadInput("policies have changed, not renewing")
        return login

    async def log_in(self, request: Request, params: LogIn) -> Answer:
        """Log in with a user name and a password."""
        if not params.password:
            raise BadInput("missing password")
        name = params.username.lower()
        await self._lockouts.demand_open(name, request.now)
        document = await self._users.get(name)
        stored = document.value.password_hash if document is not None else None
        if not await self._passwords.matches(params.password, stored) or document is None:
            await self._lockouts.failed(name, request.now)
            raise BadInput(_REFUSAL)
        # Another request may have locked the name, or changed the password, while this one was hashing.
        await self._lockouts.demand_open(name, request.now)
        user = await self._unchanged(document)
        self._lockouts.succeeded(name)
        if not is_ours(user.password_hash):
            await self._rehash(name, user, params.password)
        return Reply(login=login_of(name, user))

    async def list(self, _request: Request, _params: NoParams) -> Answer:
        """List users."""
        return listing(await self._users.names())

    async def exists(self, request: Request) -> bool:
        """Tell whether a write changes a user rather than creating one."""
        return await self._users.get(str(request.raw["username"]).lower()) is not None

    async def read(self, _request: Request, params: UserName) -> Answer:
        """Read a user."""
        document = await self._users.get(params.username.lower())
        if document is None:
            raise NotFound
        return Reply(render(document.value))

    async def write(self, _request: Request, params: WriteUser) -> Answer:
        """Create or change a user."""
        name = user_name(params.username)
        password_hash = await self._hash(params)
        known = await self._users.get(name)
        user = changed(known.value if known is not None else None, params, password_hash)
        await self._users.put(name, user, expected=known.version if known is not None else ABSENT)
        return None

    async def write_password(self, _request: Request, params: PasswordParams) -> Answer:
        """Change a user's password."""
        password_hash = await self._hash(params)
        if password_hash is None:
            raise BadInput("must provide either password or password_hash")
        known = await self._existing(params.username)
        user = known.value.model_copy(update={"password_hash": password_hash})
        await self._users.put(known.name, user, expected=known.version)
        return None

    async def write_policies(self, _request: Request, params: PolicyParams) -> Answer:
        """Change a user's policies."""
        known = await self._existing(params.username)
        await self._users.put(known.name, with_policies(known.value, params), expected=known.version)
        return None

    async def delete(self, _request: Request, params: UserName) -> Answer:
        """Delete a user; tokens stay until they expire, but cannot be renewed."""
        await self._users.delete(params.username.lower())
        return None

    async def _existing(self, username: str) -> Document[User]:
        known = await self._users.get(user_name(username))
        if known is None:
            raise BadInput("username does not exist")
        return known

    async def _unchanged(self, before: Document[User]) -> User:
        now = await self._users.get(before.name)
        old_hash = before.value.password_hash.encode()
        if now is None or not hmac.compare_digest(now.value.password_hash.encode(), old_hash):
            raise BadInput(_REFUSAL)
        return now.value

    async def _rehash(self, name: str, checked: User, password: str) -> None:
        """Replace a hash that came from elsewhere, now that its password is known."""
        password_hash = await self._passwords.hash(password)
        document = await self._users.get(name)
        if document is not None and document.value.password_hash == checked.password_hash:
            user = document.value.model_copy(update={"password_hash": password_hash})
            with suppress(DocumentMoved):  # whoever writes the user at this moment knows better
                await self._users.put(name, user, expected=document.version)

    async def _hash(self, params: PasswordParams) -> str | None:
        if params.password and params.password_hash:
            raise BadInput("only one of password or password_hash may be provided")
        if params.password_hash:
            return checked_hash(params.password_hash)
        return await self._passwords.hash(params.password) if params.password else None


class Userpass:
    """The kind of auth method. Every mount shares the threads that hash."""

    name = "userpass"
    description = "User names and passwords"
    schema: Schema | None = None

    def __init__(self) -> None:
        self._passwords = Passwords()

    def open(self, context: MountContext) -> UserpassMethod:
        """Build the method for one mount."""
        return UserpassMethod(context, self._passwords)


USERPASS = Userpass()
