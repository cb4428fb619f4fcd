"""`saccade serve`: the page, the looks at a text, and who is refused."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.explain import Capture
from saccade.explain.attention_map import kept_map
from tests.app.conftest import Command

for module in ("starlette", "uvicorn"):
    pytest.importorskip(module, reason=f"{module} is not installed: pip install 'saccade[view]'")


class Server:
    """A viewer in a process of its own."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "saccade", "serve", *map(str, arguments), "--port", "0"]
        quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quiet)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        assert found, said + str(self.process.communicate(timeout=60))
        self.port = int(found[1])

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        return found

    def memory(self) -> float:
        """MB that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture(scope="module")
def server(tiny_runs: dict[str, Path]) -> Iterator[Server]:
    served = Server(tiny_runs["transformer"])
    yield served
    assert served.stop() == (0, "")  # nothing went wrong all the while, and Ctrl-C ends it in peace


def test_the_page_and_the_looks_at_a_text(server: Server) -> None:
    status, page, headers = server.ask("GET", "/")
    assert status == 200
    assert b"transformer tiny" in page
    assert "script-src 'sha256-" in headers["content-security-policy"]
    assert "unsafe-inline" not in headers["content-security-policy"]
    status, body, _ = server.ask("POST", "/look", {"text": "We can do that."})
    assert status == 200
    found = json.loads(body)
    assert found["title"].startswith("transformer tiny: We can do that. ->")
    layer = next(each for each in found["layers"] if "cross" in each["name"])
    assert {"name", "heads", "queries", "keys", "weights", "largest"} == set(layer)
    assert layer["queries"][-1] == "end"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "message"),
    [
        ("GET", "/", None, {"Host": "evil.example"}, 403, "asked for by another name"),
        ("POST", "/look", {"text": "x"}, {"Origin": "http://evil.example"}, 403, "another origin"),
        ("POST", "/look", b"{", {}, 400, "expected JSON"),
        ("POST", "/look", b"\xff\xfe", {}, 400, "expected JSON"),
        ("POST", "/look", b"[" * 30_000, {}, 400, "expected JSON"),
        ("POST", "/look", [1], {}, 400, "the text is empty"),
        ("POST", "/look", {"text": " "}, {}, 400, "the text is empty"),
        ("POST", "/look", {"text": 7}, {}, 400, "the text is empty"),
        ("POST", "/look", {"text": "a " * 1500}, {}, 413, "at most 2,000 characters"),
        ("POST", "/look", b"x" * 100_000, {}, 413, "at most 65536 bytes"),
    ],
)
def test_who_is_refused_is_told_why(
    server: Server, method: str, path: str, body: Any, headers: dict[str, str], status: int, message: str
) -> None:
    found, answer, _ = server.ask(method, path, body, **headers)
    assert found == status
    assert message in json.loads(answer)["error"]


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/config.yaml", "/model.safetensors", "/look"])
def test_no_file_of_this_machine_is_given(server: Server, path: str) -> None:
    assert server.ask("GET", path)[0] in (404, 405)


def test_two_hundred_at_once(server: Server) -> None:
    bodies: list[Any] = [{"text": "We can do that."}, b"{", {"text": "a " * 1500}, b"x" * 100_000]
    for body in bodies * 3:
        server.ask("POST", "/look", body)
    before = server.memory()
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda body: server.ask("POST", "/look", body)[0], bodies * 50))
    assert len(found) == 200
    assert set(found) <= {200, 400, 413, 503}
    assert {200, 400, 413} <= set(found)
    assert server.memory() < before + 50
    assert server.ask("POST", "/look", bodies[0])[0] == 200


def test_a_text_is_typed_and_looked_at(server: Server) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine, in which to look at the page")
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page, wrong = browser.new_page(), []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/")
        assert not page.locator("#whole").is_visible()
        page.fill("#text", "We can do that.")
        page.keyboard.press("Enter")
        page.wait_for_selector("#queries button")
        page.select_option("#layer", label="decoder.blocks.0.cross_attention.weights")
        assert page.locator("#queries button").all_text_contents()[-1] == "end"
        page.locator("#keys button").first.hover()
        assert "is looked at by" in page.locator("#said").text_content()
        page.fill("#text", " ")
        page.keyboard.press("Enter")
        page.get_by_text("the text is empty").wait_for()
        assert not wrong
        browser.close()


def test_a_kept_capture_is_shown_and_reads_nothing(tmp_path: Path) -> None:
    seen = Capture()
    seen.hear(kept_map("layer", ("b", "h", "q", "k"), torch.rand(1, 2, 3, 3).softmax(-1)))
    seen.label(["a", "b", "<i>c</i>"]).save(tmp_path / "seen.safetensors")
    served = Server(tmp_path / "seen.safetensors")
    try:
        status, page, headers = served.ask("GET", "/")
        assert status == 200
        assert b"seen.safetensors" in page
        assert b"<i>" not in page
        assert "connect-src 'none'" in headers["content-security-policy"]
        assert served.ask("POST", "/look", {"text": "x"})[0] == 404
    finally:
        assert served.stop() == (0, "")


def test_bad_input(saccade: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.safetensors").write_bytes(b"x" * 50)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for arguments, message in (
            ([tmp_path / "nothing"], "there is no such run, and no such file"),
            ([tmp_path / "empty"], "config.yaml"),
            ([tmp_path / "damaged.safetensors"], "is no capture, or damaged"),
            ([tmp_path / "empty", "--port", "99999"], "expected a port from 0 to 65535"),
        ):
            done = saccade("serve", *arguments)
            assert done.status == 2
            assert message in done.err
        seen = Capture()
        seen.hear(kept_map("layer", ("q", "k"), torch.eye(2)))
        seen.save(tmp_path / "seen.safetensors")
        done = saccade("serve", tmp_path / "seen.safetensors", "--port", taken.getsockname()[1])
        assert done.status == 2
        assert "cannot listen at 127.0.0.1" in done.err
