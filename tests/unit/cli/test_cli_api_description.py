"""`path-help` from an OpenAPI document."""

from chancery.cli.api_description import describe, parse_paths
from chancery.cli.golang import Json

DOCUMENT: dict[str, Json] = {
    "paths": {
        "/pki/roles": {
            "get": {"summary": "List the roles.", "parameters": [{"name": "list"}, {"name": "after", "schema": {}}]},
        },
        "/pki/roles/{name}": {
            "parameters": [{"name": "name", "in": "path"}],
            "get": {"summary": "Read a role."},
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Role"}}}}
            },
            "patch": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Role"}}}}
            },
        },
        "/pki/roles/default": {"delete": {"summary": "Forget the default."}},
        "/broken": [],
    },
    "components": {
        "schemas": {
            "Role": {
                "properties": {
                    "ttl": {"type": "string", "description": "How long", "default": "72h"},
                    "names": {"anyOf": [{"type": "array"}, {"type": "string"}], "default": []},
                }
            }
        }
    },
}

PATHS = parse_paths(DOCUMENT)


def test_a_path_with_its_parameters_once() -> None:
    assert describe(PATHS, "pki/roles/web").splitlines() == [
        "pki/roles/{name}",
        "",
        "  read    Read a role.",
        "  write",
        "  patch",
        "",
        "Parameters of write and patch:",
        "",
        "  ttl (string)",
        "      How long. Default 72h.",
        "",
        "  names (array or string)",
    ]


def test_the_literal_path_goes_before_the_pattern() -> None:
    assert describe(PATHS, "pki/roles/default").startswith("pki/roles/default\n")


def test_what_is_below() -> None:
    assert describe(PATHS, "pki").splitlines() == [
        "Below pki:",
        "",
        "  pki/roles          list",
        "  pki/roles/default  delete",
        "  pki/roles/{name}   read, write, patch",
    ]
    both = describe(PATHS, "pki/roles")
    assert both.startswith("pki/roles\n\n  list    List the roles.\n\nParameters of list:\n\n  after (any)\n\nBelow")


def test_nothing_there() -> None:
    assert describe(PATHS, "nothing") == ""
    assert parse_paths({}) == ()
