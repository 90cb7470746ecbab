"""`config/urls`, `config/crl` and `config/cluster`."""

from typing import Any, Final

from pydantic import Field

from ca.configuration import Configuration
from ca.crls import Crls
from ca.records import ClusterConfig, CrlConfig, Urls
from ca.references import CONFIG
from ca.urls import URL_FIELDS, check_urls, is_url
from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import CommaList, LaxBool, LaxInt, NoParams, Params, Text, parse_duration
from chancery.kit.request import Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import ABSENT

_CRL_FIELDS: Final = tuple(CrlConfig.model_fields)
_DURATIONS: Final = ("expiry", "ocsp_expiry", "auto_rebuild_grace_period", "delta_rebuild_interval")


class WriteUrls(Params):
    """Parameters of `config/urls`. What is not given stays as it is."""

    issuing_certificates: CommaList = Field(default=[], description="Addresses of the issuer's certificate")
    crl_distribution_points: CommaList = Field(default=[], description="Addresses of the CRL")
    delta_crl_distribution_points: CommaList = Field(default=[], description="Addresses of the delta CRL")
    ocsp_servers: CommaList = Field(default=[], description="Addresses of OCSP responders")
    enable_templating: LaxBool = Field(False, description="Treat addresses as templates")


class WriteCluster(Params):
    """Parameters of `config/cluster`. What is not given stays as it is."""

    path: Text = Field("", description="Address of this mount's API, for templates")
    aia_path: Text = Field("", description="Address under which certificates and CRLs are published, for templates")


class WriteCrl(Params):
    """Parameters of `config/crl`. What is not given stays as it is."""

    expiry: Text = Field("72h", description="How long a CRL is valid")
    disable: LaxBool = Field(False, description="Publish empty CRLs")
    ocsp_disable: LaxBool = Field(False, description="Do not answer OCSP")
    ocsp_expiry: Text = Field("12h", description="How long an OCSP answer is valid; 0 = until asked again")
    auto_rebuild: LaxBool = Field(False, description="Rebuild a CRL before it expires, not at each revocation")
    auto_rebuild_grace_period: Text = Field("12h", description="How long before it expires")
    enable_delta: LaxBool = Field(False, description="Publish delta CRLs; needs auto_rebuild")
    delta_rebuild_interval: Text = Field("15m", description="How often delta CRLs are made")
    cross_cluster_revocation: LaxBool = Field(False, description="Kept for compatibility")
    unified_crl: LaxBool = Field(False, description="Kept for compatibility")
    unified_crl_on_existing_paths: LaxBool = Field(False, description="Kept for compatibility")
    max_crl_entries: LaxInt = Field(100_000, description="Refuse to make longer CRLs; -1 = no limit")
    allow_expired_cert_revocation: LaxBool = Field(False, description="Let expired certificates be revoked")


class SettingsEndpoints:
    """Serves the settings of one mount."""

    def __init__(self, configuration: Configuration, crls: Crls) -> None:
        self._configuration = configuration
        self._crls = crls

    def routes(self) -> list[Route]:
        """Return the paths."""
        url_fields = (*URL_FIELDS, "enable_templating")
        return [
            Route(
                pattern="config/urls",
                read=endpoint(self.read_urls, responses=url_fields),
                update=endpoint(self.write_urls, WriteUrls, responses=url_fields),
            ),
            Route(
                pattern="config/crl",
                read=endpoint(self.read_crl, responses=_CRL_FIELDS),
                update=endpoint(self.write_crl, WriteCrl, responses=_CRL_FIELDS),
            ),
            Route(
                pattern="config/cluster",
                read=endpoint(self.read_cluster, responses=("path", "aia_path")),
                update=endpoint(self.write_cluster, WriteCluster, responses=("path", "aia_path")),
            ),
        ]

    async def read_urls(self, _request: Request, _params: NoParams) -> Reply:
        """Read the addresses that certificates contain."""
        return Reply(_shown_urls(await self._configuration.urls()))

    async def write_urls(self, _request: Request, params: WriteUrls) -> Reply:
        """Set the addresses that certificates contain."""
        changes: dict[str, Any] = {name: tuple(getattr(params, name)) for name in URL_FIELDS if params.submitted(name)}
        if params.submitted("enable_templating"):
            changes["templated"] = params.enable_templating
        urls = (await self._configuration.urls()).model_copy(update=changes)
        check_urls(urls)
        await self._configuration.urls_documents.put(CONFIG, urls)
        return Reply(_shown_urls(urls))

    async def read_cluster(self, _request: Request, _params: NoParams) -> Reply:
        """Read where this mount is reached."""
        return Reply(dict(await self._configuration.cluster()))

    async def write_cluster(self, _request: Request, params: WriteCluster) -> Reply:
        """Set where this mount is reached."""
        changes = {name: getattr(params, name) for name in ("path", "aia_path") if params.submitted(name)}
        wrong = [Problem(name, "must be an address such as https://ca.example.com/v1/pki") for name in changes]
        wrong = [problem for problem in wrong if changes[problem.field] and not is_url(changes[problem.field])]
        if wrong:
            raise BadInput(problems=wrong)
        cluster: ClusterConfig = (await self._configuration.cluster()).model_copy(update=changes)
        await self._configuration.cluster_documents.put(CONFIG, cluster)
        return Reply(dict(cluster))

    async def read_crl(self, _request: Request, _params: NoParams) -> Reply:
        """Read how CRLs are made."""
        return Reply(dict((await self._configuration.crl()).value))

    async def write_crl(self, _request: Request, params: WriteCrl) -> Reply:
        """Set how CRLs are made, and make new ones when that changes what they say."""
        before = await self._configuration.crl()
        changes = {name: getattr(params, name) for name in _CRL_FIELDS if params.submitted(name)}
        config = before.value.model_copy(update=changes)
        _check_crl(config)
        await self._configuration.crl_documents.put(CONFIG, config, expected=before.version or ABSENT)
        affected = config.disable != before.value.disable or config.expiry != before.value.expiry
        warnings = await self._crls.rebuild_all() if affected else []
        return Reply(dict(config), warnings=warnings)


def _shown_urls(urls: Urls) -> dict[str, Any]:
    return {**{name: list(getattr(urls, name)) for name in URL_FIELDS}, "enable_templating": urls.templated}


def _check_crl(config: CrlConfig) -> None:
    seconds: dict[str, int] = {}
    problems = []
    for name in _DURATIONS:
        try:
            seconds[name] = parse_duration(getattr(config, name))
        except ValueError as error:
            problems.append(Problem(name, f"given {name} could not be decoded: {error}"))
            continue
        if seconds[name] < 0 or (name == "expiry" and seconds[name] == 0):
            problems.append(Problem(name, f"{name} must be positive"))
    if not problems and config.auto_rebuild and seconds["auto_rebuild_grace_period"] >= seconds["expiry"]:
        reason = (
            f"CRL auto-rebuilding grace period ({config.auto_rebuild_grace_period}) must be strictly shorter than CRL "
            f"expiry ({config.expiry}) value when auto-rebuilding of CRLs is enabled"
        )
        problems.append(Problem("auto_rebuild_grace_period", reason))
    if config.enable_delta and not config.auto_rebuild:
        reason = (
            "Delta CRLs cannot be enabled when auto rebuilding is disabled as the complete CRL is always regenerated!"
        )
        problems.append(Problem("enable_delta", reason))
    if config.max_crl_entries < -1 or config.max_crl_entries == 0:
        problems.append(Problem("max_crl_entries", "max_crl_entries must be positive, or -1 for no limit"))
    if problems:
        raise BadInput("; ".join(problem.reason for problem in problems), problems=problems)
