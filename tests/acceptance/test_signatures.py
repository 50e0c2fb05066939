"""A worker that asks for signatures: what any producer sends is a dead letter, what the client sends is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from support.installation import Installation, start_json
from support.servers import settings_of

from famulus.client import Famulus


async def test_only_signed_records_are_run(servers: Mapping[str, str], tmp_path: Path) -> None:
    installation = Installation({**servers, "FAMULUS_RECORD_KEY": "the key of an installation"}, tmp_path)
    await installation.prepare()
    try:
        await installation.start_workers(1)
        async with installation.producer() as producer:
            await producer.send_and_wait(installation.jobs, start_json("forged", "one"), key=b"forged")
        async with Famulus.connect(settings_of(installation.environment)) as famulus:
            run = await famulus.start("fan10", run_id="good")
            await run.result()
        await installation.all_completed(["good"])
        letter = await installation.dead_letter(b"forged")
        async with installation.records() as auditor:
            forged = await auditor.statuses(["forged"])
    finally:
        installation.close()

    assert dict(letter.headers)["famulus-error-code"] == b"bad_signature"
    assert not forged
