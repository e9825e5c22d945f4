"""`make backup` and `make restore` on a running stack, and a database that is deleted under it."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from payment.app import participant
from tests.e2e.audit_fixtures import database_file, found_wrong
from tests.kit.client import ROOT, Shop, order, wait_until
from tests.kit.service_instances import is_alive


def ops(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops", *words],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def back_up(shop: Shop, service: str, folder: Path) -> Path:
    await asyncio.to_thread(shop.command, "backup", service, "--to", str(folder))
    return folder / max(name for name in names_in(folder) if name.startswith(f"{service}-"))


def names_in(folder: Path, pattern: str = "*") -> list[str]:
    return sorted(file.name for file in folder.glob(pattern))


async def restore(shop: Shop, service: str, backup: Path) -> None:
    await asyncio.to_thread(shop.command, "restore", service, "--from", str(backup), "--stack")


def rows(file: Path, table: str) -> int:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        [[count]] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608 - of this file
    return int(count)


async def test_backup_has_the_newest_rows_and_a_copied_file_lacks_them(
    breakable_shop: Shop, tmp_path: Path
) -> None:
    shop = breakable_shop
    wallets = [await shop.create_wallet(100) for _ in range(5)]
    database = database_file(shop.environment, "payment")
    shutil.copy(database, tmp_path / "copied.db")

    backup = await back_up(shop, "payment", tmp_path)

    newest = wallets[-1].encode()
    assert newest not in (tmp_path / "copied.db").read_bytes()
    assert newest in backup.read_bytes()
    assert names_in(tmp_path) == ["copied.db", backup.name], "a log or a temporary file is left"


async def test_every_service_is_backed_up_into_the_state_folder(breakable_shop: Shop) -> None:
    await asyncio.to_thread(breakable_shop.command, "backup")
    folder = Path(breakable_shop.environment["STATE_DIR"]) / "backups"
    names = {file.name.partition("-")[0] for file in folder.iterdir()}
    assert names == {"order", "product", "coupon", "payment", "dataplatform", "user"}
    modes = {file.stat().st_mode & 0o777 for file in (folder, *folder.iterdir())}
    assert modes == {0o700, 0o600}, "others read the copies"


async def test_restored_service_catches_up_and_is_released(
    breakable_shop: Shop, tmp_path: Path
) -> None:
    """The write-ahead log of a crash beside the database does not spoil the restored one."""
    shop = breakable_shop
    product, customer = await shop.create_product(1_000, 50), await shop.create_wallet(20_000)
    await shop.buy(order(customer, (product, 1)))
    await shop.wait_until_idle()
    backup = await back_up(shop, "payment", tmp_path)
    await shop.buy(order(customer, (product, 2)))
    await shop.wait_until_idle()
    database = database_file(shop.environment, "payment")
    log = Path(f"{database}-wal")
    shutil.copy(log, tmp_path / "log")
    await asyncio.to_thread(shop.command, "stop", "payment")
    shutil.copy(tmp_path / "log", log)

    await restore(shop, "payment", backup)

    async def has_caught_up() -> bool:
        return await shop.balance(customer) == 20_000 - 1_000 - 2_000

    await wait_until(has_caught_up, "payment has handled again what its backup lacks")
    charge = f"/api/v1/wallets/{customer}/charge"
    assert (await shop.call("payment", "POST", charge, {"amount": 1})).status == 503
    [replaced, its_log] = names_in(database.parent, "payment.db.replaced-*")
    assert its_log == f"{replaced}-wal"
    assert rows(database.parent / replaced, "payments") == rows(backup, "payments") + 1
    await asyncio.to_thread(shop.command, "release", "payment")
    await shop.wait_until_ready()
    assert (await shop.buy(order(customer, (product, 1))))["status"] == "COMPLETED"
    assert await found_wrong(shop) == []
    for name in names_in(database.parent, "payment.db.replaced-*"):
        (database.parent / name).unlink()


async def test_wrong_backup_is_refused_before_anything_is_touched(
    breakable_shop: Shop, tmp_path: Path
) -> None:
    shop = breakable_shop
    good = await back_up(shop, "payment", tmp_path)
    coupons = await back_up(shop, "coupon", tmp_path)
    short = tmp_path / "short.db"
    short.write_bytes(good.read_bytes()[:8192])
    text = tmp_path / "notes.txt"
    text.write_text("no database")
    newer = tmp_path / "newer.db"
    shutil.copy(good, newer)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = await asyncio.to_thread(shop.command, "status")
    for file, message in {
        tmp_path / "none.db": "There is no file",
        coupons: "is not of the payment service",
        short: "is corrupt",
        text: "file is not a database",
        newer: f"has schema version 99, and this code writes {participant.history.version}",
    }.items():
        words = ("restore", "payment", "--from", str(file), "--stack")
        done = await asyncio.to_thread(ops, shop.environment, *words)
        assert done.returncode == 1, file
        assert message in done.stderr
        assert done.stderr.count("\n") == 1, "one line"
    folder = database_file(shop.environment, "payment").parent
    assert names_in(folder, "*payment.db.re*") == []
    assert pid_of("payment", await asyncio.to_thread(shop.command, "status")) == pid_of(
        "payment", before
    )


def pid_of(part: str, status: str) -> str:
    [line] = [line for line in status.splitlines() if line.startswith(f"{part} ")]
    return line.split()[2]


async def test_restore_without_a_stack_needs_a_stopped_service(
    breakable_shop: Shop, tmp_path: Path
) -> None:
    shop = breakable_shop
    customer = await shop.create_wallet(5)
    backup = await back_up(shop, "payment", tmp_path)
    words = ("restore", "payment", "--from", str(backup))
    refused = await asyncio.to_thread(ops, shop.environment, *words)
    assert refused.returncode == 1
    assert "stop every instance of payment first" in refused.stderr
    await asyncio.to_thread(shop.command, "stop", "payment")
    done = await asyncio.to_thread(ops, shop.environment, *words)
    assert "Next: start payment with QUARANTINE=1" in done.stdout
    await asyncio.to_thread(shop.command, "start", "payment")
    await shop.wait_until_ready()
    assert await shop.balance(customer) == 5


async def test_service_whose_database_is_deleted_ends_and_starts_in_recovery_mode(
    breakable_shop: Shop, tmp_path: Path
) -> None:
    shop = breakable_shop
    customer = await shop.create_wallet(5)
    backup = await back_up(shop, "payment", tmp_path)
    state = Path(shop.environment["STATE_DIR"])
    folder = state / "db"
    log = state / "logs" / "payment.log"
    seen_bytes = log.stat().st_size

    for name in names_in(folder, "payment.db*"):
        (folder / name).unlink()

    charge = f"/api/v1/wallets/{customer}/charge"
    ready, refused = await asyncio.gather(
        shop.call("payment", "GET", "/health/ready"),
        shop.call("payment", "POST", charge, {"amount": 1}),
    )
    assert (refused.status, refused.body["error"]) == (503, "RETRY_LATER")
    assert (ready.status, ready.body["checks"]["database"]["ok"]) == (503, False)
    assert "was deleted or replaced" in ready.body["checks"]["database"]["detail"]

    async def is_restarted() -> bool:
        return (folder / "payment.db").exists() and await is_alive(shop, "payment")

    await wait_until(is_restarted, "payment runs again", timeout_seconds=20)
    logged = log.read_bytes()[seen_bytes:].decode()
    assert logged.count("was deleted or replaced while the service ran; stopping") == 1
    assert logged.count("payment had a database") == 1
    health = await shop.call("payment", "GET", "/health/ready")
    assert health.body["checks"]["quarantine"]["ok"] is False

    await restore(shop, "payment", backup)
    await asyncio.to_thread(shop.command, "release", "payment")
    await shop.wait_until_ready()
    assert await shop.balance(customer) == 5
