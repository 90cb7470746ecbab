"""What the commands that make new shares show: where an attempt stands, and the shares once they are made."""

from chancery.cli.golang import render
from chancery.cli.seal_attempts import Answer, progress_row
from chancery.cli.session import Session
from chancery.cli.tables import Row, key_values

_ORDER: Answer = {
    "nonce": "",
    "started": False,
    "t": 0,
    "n": 0,
    "progress": 0,
    "required": 0,
    "pgp_fingerprints": None,
    "backup": False,
    "verification_required": False,
    "verification_nonce": "",
}


def shares_text(answer: Answer, status: Answer) -> str:
    """Lay out new shares, and what to do with them. `status` is the attempt's before the last share."""
    keys = answer.get("keys_base64")
    shares = keys if isinstance(keys, list) else []
    lines = ["", *(f"Key {number}: {render(share)}" for number, share in enumerate(shares, 1))]
    lines += ["", f"Operation nonce: {render(answer.get('nonce', ''))}", ""]
    needed = render(status.get("t", 0))
    if not shares:
        lines.append("The root key was replaced. It has no shares: the seal's keeper holds it.")
    elif answer.get("verification_required"):
        lines.append(
            f"Hand each share to another person now; they are shown this once. They do not count yet: {needed} of\n"
            "them must first be entered with -verify and the nonce below. Until then keep the present shares."
        )
    else:
        lines.append(
            f"Hand each share to another person now; they are shown this once. From now on {needed} of them are\n"
            "needed, and the shares before are worth nothing."
        )
    return "\n".join(lines)


def show_status(session: Session, answer: Answer, *, verification: bool = False) -> None:
    """Print where an attempt, or its verification, stands."""
    document = answer if verification else _ORDER | answer
    rows = _verification_rows(answer) if verification else _progress_rows(document)
    session.output.document(document, lambda: key_values(rows))


def _progress_rows(answer: Answer) -> list[Row]:
    rows: list[Row] = [("Nonce", render(answer["nonce"])), ("Started", render(answer["started"]))]
    if not answer["started"]:
        return rows
    rows += [
        progress_row("Progress", answer, "required"),
        ("New Shares", render(answer["n"])),
        ("New Threshold", render(answer["t"])),
        ("Verification Required", render(answer["verification_required"])),
    ]
    if answer["verification_nonce"]:
        rows.append(("Verification Nonce", render(answer["verification_nonce"])))
    return rows


def _verification_rows(answer: Answer) -> list[Row]:
    return [
        ("Started", render(answer.get("started", False))),
        ("New Shares", render(answer.get("n", 0))),
        ("New Threshold", render(answer.get("t", 0))),
        ("Verification Nonce", render(answer.get("nonce", ""))),
        progress_row("Verification Progress", answer, "t"),
    ]
