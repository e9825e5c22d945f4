"""openapi-typescript makes types of the committed documents; a client of them works on a stack."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from events.participants import PARTICIPANTS
from tests.e2e.api.routes import UNKNOWN_ID
from tests.e2e.clients.test_python_client import WAY_TO_THE_END
from tests.kit.client import ROOT, Shop

HERE = Path(__file__).parent
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled client, in a folder of its own. Its packages are those of the lock file."""
    if shutil.which("npm") is None:
        pytest.skip("Node.js is not installed (make node)")
    folder = tmp_path_factory.mktemp("typescript")
    for name in ("package.json", "package-lock.json", "tsconfig.json", "shopper.ts"):
        shutil.copy(HERE / name, folder)
    installed = run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    if installed.returncode and any(each in installed.stderr for each in NO_NETWORK):
        pytest.skip(f"npm can't reach its registry: {installed.stderr.splitlines()[0]}")
    assert installed.returncode == 0, installed.stderr
    apis = {
        service: {"root": f"{ROOT}/docs/openapi/{service}.json", "x-openapi-ts": {"output": types}}
        for service, types in {each: f"{each}.ts" for each in PARTICIPANTS}.items()
    }
    (folder / "redocly.yaml").write_text(json.dumps({"apis": apis}))  # JSON is YAML
    made = run(folder, "node_modules/.bin/openapi-typescript")
    assert made.returncode == 0, made.stderr
    compiled = run(folder, "node_modules/.bin/tsc", "--project", ".")
    assert compiled.returncode == 0, compiled.stdout
    return folder


async def test_client_places_follows_and_cancels_an_order(shop: Shop, built: Path) -> None:
    customer, cake = await shop.create_wallet(1_000), await shop.create_product(price=30, stock=5)
    url = shop.environment["ORDER_URL"]
    done = run(built, "node", "built/shopper.js", url, customer, cake, UNKNOWN_ID)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "events": WAY_TO_THE_END,
        "status": "CANCELLED",
        "cancellation": "DONE",
        "unknown": "ORDER_NOT_FOUND",
    }
