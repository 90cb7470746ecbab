"""`kubernetes` through a whole host, against a cluster that makes and judges its own tokens."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import auth_tokens as mint
from tests.support.auth_kubernetes_api import Cluster
from tests.support.auth_peer import Peer, peer
from tests.support.auth_pki import authority, server_context
from tests.support.host_world import HostWorld, host_world

CA = authority("Cluster CA")
DENIED = (403, {"errors": ["permission denied"]})
OUTGOING = {"allow": ["127.0.0.0/8"]}


@dataclass
class World:
    """A host, and a cluster that it asks."""

    host: HostWorld
    cluster: Cluster
    server: Peer

    async def configure(self, **fields: Any) -> tuple[int, Any]:
        """Write the configuration."""
        body = {"kubernetes_host": self.server.url, "kubernetes_ca_cert": CA.pem, "token_reviewer_jwt": "reviewer"}
        return await self.host.call("POST", "auth/kubernetes/config", body | fields)

    async def role(self, name: str = "app", **fields: Any) -> tuple[int, Any]:
        """Write a role."""
        body = {
            "bound_service_account_names": "web",
            "bound_service_account_namespaces": "prod",
            "token_policies": "app",
        }
        return await self.host.call("POST", f"auth/kubernetes/role/{name}", body | fields)

    async def login(self, jwt: str, role: str = "app") -> tuple[int, Any]:
        """Log in."""
        return await self.host.call("POST", "auth/kubernetes/login", {"role": role, "jwt": jwt}, token="")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    cluster = Cluster(reviewers={"reviewer"})
    for account in (("prod", "web"), ("prod", "other"), ("dev", "web")):
        cluster.create(*account)
    context = server_context(CA.issue_server("127.0.0.1"), tmp_path)
    async with peer(cluster.answer, context) as server, host_world(tmp_path, outgoing=OUTGOING) as host:
        made = World(host, cluster, server)
        assert (await host.call("POST", "sys/auth/kubernetes", {"type": "kubernetes"}))[0] == 204
        assert (await made.configure())[0] == 204
        assert (await made.role())[0] == 200
        yield made


async def test_a_service_account_logs_in(world: World) -> None:
    status, body = await world.login(world.cluster.token("prod", "web"))
    assert status == 200
    auth = body["auth"]
    uid = world.cluster.accounts["prod", "web"]
    assert auth["policies"] == ["app", "default"]
    assert auth["metadata"] == {
        "role": "app",
        "service_account_name": "web",
        "service_account_namespace": "prod",
        "service_account_secret_name": "",
        "service_account_uid": uid,
    }
    entity = (await world.host.call("GET", f"identity/entity/id/{auth['entity_id']}"))[1]["data"]
    assert entity["aliases"][0]["name"] == uid
    looked = (await world.host.call("GET", "auth/token/lookup-self", token=auth["client_token"]))[1]["data"]
    assert looked["display_name"] == "kubernetes-prod-web"


async def test_tokens_of_old_clusters_log_in(world: World) -> None:
    status, body = await world.login(world.cluster.legacy_token("prod", "web"))
    assert (status, body["auth"]["metadata"]["service_account_secret_name"]) == (200, "web-token-x")


async def test_all_who_may_not_are_told_the_same(world: World) -> None:
    cluster = world.cluster
    gone = cluster.token("prod", "web")
    cluster.create("prod", "web")
    good = cluster.token("prod", "web")
    header, payload, _ = good.split(".")
    for jwt in (
        gone,
        cluster.token("prod", "other"),
        cluster.token("dev", "web"),
        cluster.token("prod", "web", audience="vault"),
        cluster.token("prod", "web", life=-3600),
        mint.token({"sub": "system:serviceaccount:prod:web"}),
        f"{header}.{payload}.AAAA",
        f"{header}.{payload}.",
        "nonsense",
        "a.b.c\r\nX-Injected: yes",
    ):
        assert await world.login(jwt) == DENIED
    assert await world.login(good, role="nobody") == DENIED
    assert (await world.login(good))[0] == 200


async def test_nonsense_does_not_bother_the_cluster(world: World) -> None:
    for jwt in ("nonsense", world.cluster.token("dev", "web"), world.cluster.token("prod", "web", life=-3600)):
        await world.login(jwt)
    assert world.cluster.reviews == 0


async def test_the_review_is_about_the_account_that_the_token_claims(world: World) -> None:
    """A token whose claims and review disagree: the cluster's word about another account lets nobody in."""
    forged = world.cluster.token("prod", "other")
    claims = {"kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "web", "uid": "x"}}}
    header, _, signature = forged.split(".")
    payload = mint.compact({}, claims, lambda _: b"").split(".")[1]
    assert await world.login(f"{header}.{payload}.{signature}") == DENIED


async def test_an_audience_of_the_role_is_demanded(world: World) -> None:
    assert (await world.role(audience="chancery"))[0] == 204
    assert await world.login(world.cluster.token("prod", "web")) == DENIED
    assert (await world.login(world.cluster.token("prod", "web", audience="chancery")))[0] == 200


async def test_local_keys_are_demanded_besides_the_review(world: World) -> None:
    assert (await world.configure(pem_keys=[mint.public_pem(world.cluster.key)]))[0] == 204
    assert (await world.login(world.cluster.token("prod", "web")))[0] == 200
    assert (await world.configure(pem_keys=[mint.public_pem(mint.P256)]))[0] == 204
    assert await world.login(world.cluster.token("prod", "web")) == DENIED


async def test_the_issuer_is_looked_at_when_wanted(world: World) -> None:
    await world.configure(disable_iss_validation=False, issuer="https://elsewhere")
    assert await world.login(world.cluster.token("prod", "web")) == DENIED
    await world.configure(disable_iss_validation=False)
    assert await world.login(world.cluster.token("prod", "web")) == DENIED
    assert (await world.login(world.cluster.legacy_token("prod", "web")))[0] == 200


async def test_labels_of_the_namespace_may_decide(world: World) -> None:
    await world.role(
        "labelled",
        bound_service_account_namespaces=[],
        bound_service_account_namespace_selector='{"matchLabels": {"env": "dev"}}',
    )
    assert await world.login(world.cluster.token("dev", "web"), "labelled") == DENIED
    world.cluster.labels["dev"] = {"env": "dev"}
    assert (await world.login(world.cluster.token("dev", "web"), "labelled"))[0] == 200
    assert await world.login(world.cluster.token("prod", "web"), "labelled") == DENIED


async def test_annotations_become_metadata_of_the_alias(world: World) -> None:
    world.cluster.annotations["prod", "web"] = {"vault.hashicorp.com/alias-metadata-team": "blue", "other": "x"}
    await world.configure(use_annotations_as_alias_metadata=True)
    auth = (await world.login(world.cluster.token("prod", "web")))[1]["auth"]
    entity = (await world.host.call("GET", f"identity/entity/id/{auth['entity_id']}"))[1]["data"]
    assert entity["aliases"][0]["metadata"]["team"] == "blue"
    assert "other" not in entity["aliases"][0]["metadata"]


async def test_without_a_reviewer_the_token_speaks_for_itself(world: World) -> None:
    await world.configure(token_reviewer_jwt="", disable_local_ca_jwt=True)
    token = world.cluster.token("prod", "web")
    assert await world.login(token) == DENIED
    world.cluster.may_review.add(("prod", "web"))
    assert (await world.login(token))[0] == 200


async def test_a_reviewer_that_the_cluster_does_not_know_lets_nobody_in(world: World) -> None:
    await world.configure(token_reviewer_jwt="stranger")
    assert await world.login(world.cluster.token("prod", "web")) == DENIED


async def test_a_cluster_that_is_away_is_said_without_details(world: World) -> None:
    world.cluster.failing = 500
    status, body = await world.login(world.cluster.token("prod", "web"))
    assert (status, body) == (503, {"errors": ["the Kubernetes API server cannot be asked at present"]})
    await world.configure(kubernetes_host="https://10.0.0.1")
    status, body = await world.login(world.cluster.token("prod", "web"))
    assert (status, body) == (503, {"errors": ["the Kubernetes API server cannot be asked at present"]})


async def test_a_cluster_with_another_ca_is_not_believed(world: World) -> None:
    await world.configure(kubernetes_ca_cert=authority("other").pem)
    assert (await world.login(world.cluster.token("prod", "web")))[0] == 503
    assert world.cluster.reviews == 0


async def test_outside_a_pod_the_ca_must_be_given(world: World) -> None:
    status, body = await world.configure(kubernetes_ca_cert="")
    assert status == 400
    assert "runs in no pod" in body["errors"][0]


async def test_the_configuration_is_shown_without_the_reviewers_token(world: World) -> None:
    status, body = await world.host.call("GET", "auth/kubernetes/config")
    assert (status, body["data"]["token_reviewer_jwt_set"]) == (200, True)
    assert "reviewer" not in [*body["data"].values()]


async def test_renewal_asks_whether_the_role_is_still_there(world: World) -> None:
    token = (await world.login(world.cluster.token("prod", "web")))[1]["auth"]["client_token"]
    assert (await world.host.call("POST", "auth/token/renew-self", {}, token=token))[0] == 200
    await world.host.call("DELETE", "auth/kubernetes/role/app")
    assert (await world.host.call("POST", "auth/token/renew-self", {}, token=token))[0] == 400
