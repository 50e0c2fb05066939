from __future__ import annotations

from pathlib import Path

from support.command_line import Call, CallForJson


def test_a_token_is_shown_when_it_is_made_and_never_again(
    call: Call, called_for_json: CallForJson, own_folder: Path
) -> None:
    made = call("token", "create", "ci", "--scope", "operator", "--expires", "30d", "--by", "ops")

    secret = made.stdout.strip()
    listed = call("token", "ls").stdout
    (told,) = called_for_json("token", "ls", "--json")
    assert secret.startswith("famulus_")
    assert secret not in listed
    assert (told["name"], told["scope"], told["created_by"], told["state"]) == ("ci", "operator", "ops", "live")
    assert round(told["expires_at"] - told["created_at"]) == 30 * 86_400
    assert "digest" not in told
    for file in (own_folder / ".famulus").iterdir():
        assert secret.encode() not in file.read_bytes()


def test_a_revoked_token_is_told_with_who_did_it(call: Call, called_for_json: CallForJson) -> None:
    call("token", "create", "ci")

    assert call("token", "revoke", "ci", "--by", "boss").exit_code == 0

    (told,) = called_for_json("token", "ls", "--json")
    assert (told["state"], told["revoked_by"]) == ("revoked", "boss")
    again = call("token", "revoke", "ci")
    assert again.exit_code == 1
    assert "no live token" in again.stderr


def test_what_cannot_be_made_says_why(call: Call) -> None:
    assert "cannot be the name" in call("token", "create", "a b").stderr
    assert "--expires" in call("token", "create", "a", "--expires", "soon").stderr
