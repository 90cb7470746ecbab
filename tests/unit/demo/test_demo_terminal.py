"""What the demo shows is what it runs."""

from pathlib import Path

import pytest

from scripts.demo.terminal import Terminal

PEM = (
    "-----BEGIN CERTIFICATE-----\n" + "".join(f"line{number}\n" for number in range(10)) + "-----END CERTIFICATE-----\n"
)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path, {"GREETING": "hello"}, [])


def test_a_command_is_shown_before_its_answer(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = terminal.run(["sh", "-c", 'echo "$GREETING there"; exit 3'])
    assert (outcome.status, outcome.output) == (3, "hello there\n")
    assert capsys.readouterr().out == "  $ sh -c 'echo \"$GREETING there\"; exit 3'\n  hello there\n"


def test_output_goes_into_a_file_as_a_shell_would(
    terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.run(["echo", "kept"], into="kept.txt")
    assert (tmp_path / "kept.txt").read_text() == "kept\n"
    assert capsys.readouterr().out == "  $ echo kept > kept.txt\n"


def test_a_failure_is_shown_even_when_its_output_was_to_be_kept(
    terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal.run(["sh", "-c", "echo broken; exit 1"], into="kept.txt").status == 1
    assert not (tmp_path / "kept.txt").exists()
    assert "broken" in capsys.readouterr().out


def test_long_commands_go_on_in_the_next_line(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.run(["true", *(f"parameter_{number}=value" for number in range(12))])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert max(map(len, lines)) < 120


def test_the_middle_of_a_long_pem_block_is_left_out_and_said_to_be(
    terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pem").write_text(PEM)
    outcome = terminal.run(["cat", "pem"])
    assert outcome.output == PEM
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  -----BEGIN CERTIFICATE-----",
        "  line0",
        "  line1",
        "  [... 7 lines ...]",
        "  line9",
        "  -----END CERTIFICATE-----",
    ]
