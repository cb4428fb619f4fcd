"""`saccade serve`: the page, the answers to a text, a recording or an image, and refused requests."""

import http.client
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import saccade as package
from saccade.app.web import shown
from saccade.app.web.calls import Stopped, stoppable
from saccade.app.web.shown import Look, Shown, of
from saccade.core.errors import InvalidInput
from saccade.explain import Capture
from saccade.explain.attention_map import kept_map
from saccade.explain.page import View
from saccade.explain.pictures.alignment import Alignment
from saccade.runs import catalogue
from saccade.runs.run import Run
from saccade.training.run_folder import RunFolder
from tests.app.conftest import Command
from tests.conftest import LONGEST

for module in ("starlette", "uvicorn") if os.environ.get("SACCADE_BROWSER") != "required" else ():
    pytest.importorskip(module, reason=f"{module} is not installed: pip install 'torch-saccade[view]'")


SYSTEM = catalogue.names()[0]  # any one


class Server:
    """A viewer in a separate process."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "saccade", "serve", *map(str, arguments), "--port", "0"]
        quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quiet)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        assert found, said + str(self.process.communicate(timeout=60))
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        return found

    def look(self, text: str) -> bytes:
        return self.ask("POST", "/look", {"text": text})[1]

    def memory(self) -> float:
        """Its memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=180)
        return self.process.returncode, said


@contextmanager
def serving(what: Shown | Look, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of a viewer in this process, which is faster than a separate process."""
    uvicorn = pytest.importorskip("uvicorn")
    from saccade.app.serve_verb import bound, names_of
    from saccade.app.web.server import Viewer

    what = what if isinstance(what, Shown) else Shown("slow", [], "text", what)
    listening = bound(host, 0)
    place = f"127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(Viewer(what, names_of(host)).app(), log_level="warning", lifespan="off")
    served = uvicorn.Server(config)
    thread = threading.Thread(target=served.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield place
    finally:
        served.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def server(tiny_runs: dict[str, Path]) -> Iterator[Server]:
    served = Server(tiny_runs["transformer"])
    yield served
    assert served.stop() == (0, "")  # there were no errors, and Ctrl-C stops it cleanly


def test_the_page_and_the_attention_on_a_text(server: Server) -> None:
    status, page, headers = server.ask("GET", "/")
    assert status == 200
    assert b"transformer tiny" in page
    assert "script-src 'sha256-" in headers["content-security-policy"]
    assert "unsafe-inline" not in headers["content-security-policy"]
    status, body, _ = server.ask("POST", "/look", {"text": "We can do that."})
    assert status == 200
    found = json.loads(body)
    [view] = found["views"]
    assert found["title"] == f"transformer tiny: We can do that. -> {view['answer']}"
    assert [picture["kind"] for picture in view["pictures"]] == ["heads", "alignment"]
    layer = next(each for each in view["pictures"][0]["data"]["layers"] if "cross" in each["name"])
    sides = {f"{side}{part}" for side in ("queries", "keys") for part in ("", "_special", "_words")}
    assert {"name", "label", "heads", "weights", "largest", *sides} == set(layer)
    assert layer["label"] == "decoder 0, attention to the source"
    assert layer["queries"][-1] == "end"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "message"),
    [
        ("POST", "/look", {"text": "x"}, {"Origin": "http://evil.example"}, 403, "another origin"),
        ("POST", "/look", {"text": "x"}, {"Origin": "null"}, 403, "another origin"),
        ("POST", "/look", {"text": "x"}, {"Sec-Fetch-Site": "cross-site"}, 403, "another origin"),
        ("POST", "/look", {"text": "x"}, {"Sec-Fetch-Site": "same-site"}, 403, "another origin"),
        ("POST", "/look", b"{", {}, 400, "expected JSON"),
        ("POST", "/look", b"\xff\xfe", {}, 400, "expected JSON"),
        ("POST", "/look", b"[" * 30_000, {}, 400, "expected JSON"),
        ("POST", "/look", b'{"text": "\\ud800"}', {}, 400, "expected JSON"),
        ("POST", "/hear", b"RIFF", {}, 404, "this page reads a text, not a recording"),
        ("POST", "/look", [1], {}, 400, "the text is empty"),
        ("POST", "/look", {"text": " "}, {}, 400, "the text is empty"),
        ("POST", "/look", {"text": 7}, {}, 400, "the text is empty"),
        ("POST", "/look", {"text": "a " * 1500}, {}, 413, "at most 2,000 characters"),
        ("POST", "/look", b"x" * 200_000, {}, 413, "at most 131072 bytes"),
    ],
)
def test_refusals_give_the_reason(
    server: Server, method: str, path: str, body: Any, headers: dict[str, str], status: int, message: str
) -> None:
    found, answer, _ = server.ask(method, path, body, **headers)
    assert found == status
    assert message in json.loads(answer)["error"]


def ask_at(at: str, port: int, host: str, **headers: str) -> int:
    """The status of an answer at an address, for a host name."""
    connection = http.client.HTTPConnection(at, port, timeout=60)
    connection.request("POST", "/look", b'{"text": "x"}', {"Host": host, **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_host_names_that_are_accepted() -> None:
    with serving(lambda given: [View(answer="y")]) as place:
        port = int(place.partition(":")[2])
        # browsers omit port 80, and a tunnel may use another port
        for host in ("127.0.0.1", "localhost", "LOCALHOST", f"127.0.0.1:{port}", "localhost:9"):
            found = [ask_at("127.0.0.1", port, host, **more) for more in ({}, {"Origin": f"http://{host.lower()}"})]
            assert found == [200, 200 if host == host.lower() else 403], host
        for site in ("same-origin", "none"):
            assert ask_at("127.0.0.1", port, "localhost", **{"Sec-Fetch-Site": site}) == 200
        for host in ("evil.example", "evil.example:80", f"{socket.gethostname()}x", "127.0.0.2", "", "[::1]"):
            assert ask_at("127.0.0.1", port, host) == 400, host


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux listens at all of 127.0.0.0/8")
def test_a_server_for_other_machines_accepts_all_its_names() -> None:
    with serving(lambda given: [View(answer="y")], "0.0.0.0") as place:
        port = int(place.partition(":")[2])
        for at in ("127.0.0.1", "127.0.0.2"):  # like an address of another network interface
            for host in (at, f"{at}:{port}", "localhost", socket.gethostname().lower()):
                assert ask_at(at, port, host) == 200, host
            for host in ("evil.example", "127.0.0.3", "10.1.2.3"):
                assert ask_at(at, port, host) == 400, host


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_ipv6_addresses() -> None:
    try:
        with serving(lambda given: [View(answer="y")], "::") as place:
            port = int(place.rpartition(":")[2])
            assert [ask_at("::1", port, host) for host in ("[::1]", f"[::1]:{port}", "[::2]")] == [200, 200, 400]
            assert [ask_at("127.0.0.1", port, host) for host in ("127.0.0.1", "127.0.0.2")] == [200, 400]
    except (InvalidInput, OSError):
        pytest.skip("this machine has no IPv6")


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/config.yaml", "/model.safetensors", "/look"])
def test_no_other_file_of_the_machine_is_served(server: Server, path: str) -> None:
    assert server.ask("GET", path)[0] in (404, 405)


def test_two_hundred_connections_at_once(server: Server) -> None:
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


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that must not have errors; refused requests are not errors of the page."""
    page, wrong = browser.new_page(), []
    page.set_default_timeout(LONGEST)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    yield page
    page.close()
    assert not wrong


def typed(page: Any, text: str) -> None:
    page.fill("#text", text)
    with page.expect_response("**/look"):
        page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#wait').textContent === ''")
    page.wait_for_selector(".queries button")


def test_it_opens_on_an_example_of_its_own_test_set(server: Server, page: Any) -> None:
    page.goto(server.url)
    about = page.locator("#about").text_content()
    assert re.fullmatch(r"Transformer: .*\. Data: embedded English-French \(Tatoeba\)\. Test set: BLEU [\d.]+\.", about)
    examples = page.locator("#examples button").all_text_contents()
    assert len(examples) == 4
    assert page.input_value("#text") == examples[0]
    first = page.locator(".answer").text_content()
    assert first == json.loads(server.look(examples[0]))["views"][0]["answer"]
    assert page.locator(".queries button").count() > 1
    assert page.locator(".heads [aria-pressed=true]").count() == 1
    assert "attends to" in page.locator(".how").text_content()
    with page.expect_response("**/look"):
        page.locator("#examples button").nth(2).click()
    page.wait_for_function("text => new URLSearchParams(location.hash.slice(1)).get('text') === text", arg=examples[2])
    assert page.locator(".answer").text_content() == json.loads(server.look(examples[2]))["views"][0]["answer"]


def test_a_typed_text_is_explained(server: Server, page: Any) -> None:
    page.goto(server.url)
    typed(page, "We can do that.")
    assert page.locator(".answer").text_content() == json.loads(server.look("We can do that."))["views"][0]["answer"]
    assert page.locator(".layer option:checked").text_content() == "decoder 0, attention to the source"
    assert page.locator(".queries button").all_text_contents()[-1] == "end"
    page.locator(".keys button").first.hover()
    assert "is attended to by" in page.locator(".said").text_content()
    page.fill("#text", " ")
    page.keyboard.press("Enter")
    page.get_by_text("the text is empty").wait_for()


def test_a_text_is_explained_after_a_pause_in_typing(server: Server, page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    page.clock.install(time=0)
    page.goto(server.url)
    page.clock.pause_at(600_000)  # a busy machine would add pauses between keys
    page.fill("#text", "")
    page.locator("#text").press_sequentially("We can do that.")
    page.clock.run_for(200)
    assert not asked
    page.clock.run_for(2000)
    page.wait_for_function(
        "() => page.text === 'We can do that.' && document.querySelector('#wait').textContent === ''"
    )
    assert page.locator(".answer").text_content() == json.loads(server.look("We can do that."))["views"][0]["answer"]
    page.keyboard.press("Enter")  # one more request
    page.clock.run_for(2000)
    page.wait_for_function("() => document.querySelector('#wait').textContent == ''")
    assert asked == [f"{server.url}look"] * 2


def test_a_link_repeats_the_request(server: Server, page: Any) -> None:
    page.goto(server.url)
    typed(page, "We can do that.")
    page.locator(".keys button").first.click()
    page.wait_for_function("() => location.hash.endsWith('&token=keys.0&text=We+can+do+that.')")
    said, link = page.locator(".said").text_content(), page.url
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector(".chosen")
    assert page.input_value("#text") == "We can do that."
    assert page.locator(".said").text_content() == said


def test_an_export_needs_no_server(server: Server, page: Any, tmp_path: Path) -> None:
    page.goto(server.url)
    typed(page, "We can do that.")
    page.locator(".queries button").first.click()
    with page.expect_download() as download:
        page.click("#html")
    kept, asked = tmp_path / "kept.html", []
    download.value.save_as(kept)
    said, answer = (page.locator(name).text_content() for name in (".said", ".answer"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(kept.as_uri())
    page.wait_for_selector(".chosen")
    assert [page.locator(name).text_content() for name in (".said", ".answer")] == [said, answer]
    assert not page.locator("#ask").is_visible()
    assert "connect-src 'none'" in page.locator("meta[http-equiv]").get_attribute("content")
    assert asked == [kept.as_uri()]
    assert not page.locator("#examples").is_visible()


def test_two_runs_answer_one_text(tiny_runs: dict[str, Path], page: Any) -> None:
    served = Server(tiny_runs["transformer"], tiny_runs["rnnsearch"])
    try:
        page.goto(served.url)
        typed(page, "We can do that.")
        assert page.locator(".name").all_text_contents() == ["A: transformer tiny", "B: rnnsearch tiny"]
        found = json.loads(served.look("We can do that."))["views"]
        assert page.locator(".answer").all_text_contents() == [view["answer"] for view in found]
        page.locator(".view").nth(1).locator(".queries button").first.hover()
        assert "attends to" in page.locator(".said").nth(1).text_content()
        page.click("[data-show=a]")
        assert [view.is_visible() for view in page.locator(".view").all()] == [True, False]
        page.wait_for_function("() => location.hash.includes('&show=a&')")
    finally:
        assert served.stop() == (0, "")


@pytest.mark.parametrize("system", ["attention_speech", "ctc_speech", "online_speech"])
def test_a_recording_is_dropped_or_chosen(tiny_runs: dict[str, Path], page: Any, system: str) -> None:
    recording = RunFolder(tiny_runs[system]).input_files()[0]
    with serving(of([tiny_runs[system]])) as place:
        page.goto(f"http://{place}/")
        assert not page.locator("#ask").is_visible()
        assert page.locator("#examples button").count() == 4
        assert page.locator("#microphone").is_visible()
        page.wait_for_function("() => document.querySelector('#sound').duration > 0")  # the first example can be heard
        with page.expect_response("**/hear"):
            page.set_input_files("#recording", recording)
        page.wait_for_function("() => document.querySelector('#wait').textContent === ''")
        assert page.locator(".picture").get_attribute("data-kind") == "sound"
        ticks = [said for said in page.locator(".picture .tick text").all_text_contents() if said.endswith(" s")]
        assert len(ticks) > 1
        answer = page.locator(".answer").text_content()
        page.evaluate("() => document.querySelector('.answer').replaceChildren()")
        page.evaluate(
            """bytes => {
                const given = new DataTransfer();
                given.items.add(new File([new Uint8Array(bytes)], "dropped.wav", { type: "audio/wav" }));
                document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: given, bubbles: true }));
            }""",
            list(recording.read_bytes()),
        )
        page.wait_for_function("said => document.querySelector('.answer').textContent == said", arg=answer)
        page.set_input_files("#recording", {"name": "x.wav", "mimeType": "audio/wav", "buffer": b"no sound"})
        page.get_by_text("expected a wav file").wait_for()
        page.set_input_files("#recording", {"name": "x.wav", "mimeType": "audio/wav", "buffer": b"x" * 2_500_000})
        page.get_by_text("a recording has at most 2 MB, not 2.5 MB").wait_for()


def test_a_photo_is_dropped_and_its_caption_pointed_at(tiny_runs: dict[str, Path], page: Any) -> None:
    folder = tiny_runs["show_attend_tell"]
    photo = RunFolder(folder).input_files()[1].read_bytes()
    with serving(of([folder])) as place:
        page.goto(f"http://{place}/")
        page.evaluate("() => document.querySelector('.answer').replaceChildren()")
        page.evaluate(
            """bytes => {
                const given = new DataTransfer();
                given.items.add(new File([new Uint8Array(bytes)], "photo.png", { type: "image/png" }));
                document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: given, bubbles: true }));
            }""",
            list(photo),
        )
        words = package.load(folder).predict(photo).text.split()
        page.wait_for_function("said => document.querySelector('.answer').textContent == said", arg=" ".join(words))
        steps = page.locator("[data-kind=build_up]")
        assert steps.locator("button").all_text_contents() == [*words, "end"]
        weights = steps.locator("image + g").last.inner_html()
        steps.locator("button").last.hover()
        assert steps.locator("button").last.get_attribute("aria-pressed") == "true"
        assert steps.locator("image + g").last.inner_html() != weights
        overlay = page.locator("[data-kind='show_attend_tell.words']")
        assert overlay.locator("svg image").count() == 2 * len([*words, "end"])  # the weights, and the heaviest region
        overlay.locator("svg image").first.hover()
        assert overlay.locator(".caption").text_content().startswith(f"“{words[0]}”: attention weight ")


def test_invalid_recordings(tiny_runs: dict[str, Path]) -> None:
    sample = RunFolder(tiny_runs["ctc_speech"]).input_files()[0].read_bytes()
    served = Server(tiny_runs["ctc_speech"])
    rate = sample[:24] + (44100).to_bytes(4, "little") + sample[28:]
    try:
        for body, status, message in (
            (b"", 400, "there is nothing to read: the recording is empty"),
            (b"fLaC" + sample, 400, "expected a wav file"),
            (sample[:30], 400, "the recording is not a recording"),
            (sample[:44], 400, "is cut off"),
            (rate, 400, "the recording has 44100 samples per second, not 8000"),
            (sample[:4] + sample[4:] * (1 + 2_100_000 // len(sample)), 413, "at most 2 MB"),
        ):
            found, answer, _ = served.ask("POST", "/hear", body)
            assert (found, message in json.loads(answer)["error"]) == (status, True), answer
        assert served.ask("POST", "/look", {"text": "x"})[0] == 404
        for _ in range(3):
            assert served.ask("POST", "/hear", sample)[0] == 200
        before = served.memory()
        bodies = [sample, sample[:30], sample + bytes(1_000_000), b"x" * 2_100_000] * 50
        with ThreadPoolExecutor(25) as pool:
            found = list(pool.map(lambda body: served.ask("POST", "/hear", body)[0], bodies))
        assert {200, 400, 413} <= set(found) <= {200, 400, 413, 503}
        assert served.memory() < before + 50
        assert not list(Path(tempfile.gettempdir()).glob("saccade-*/recording.wav"))
    finally:
        assert served.stop() == (0, "")


def test_handwriting_is_drawn(tiny_runs: dict[str, Path], page: Any) -> None:
    with serving(of([tiny_runs["handwriting"]])) as place:
        page.goto(f"http://{place}/")
        page.fill("#text", "ab")
        with page.expect_response("**/look"):
            page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelector('#wait').textContent === ''")
        assert page.locator(".pen path").count() > 0
        kinds = [picture.get_attribute("data-kind") for picture in page.locator(".picture").all()]
        assert kinds == ["strokes", "alignment"]
        window = page.locator("[data-kind=alignment]")
        assert {"a", "b", "<end>"} <= set(window.locator(".tick text").all_text_contents())
        box = window.locator("image").bounding_box()
        page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
        assert window.locator(".caption").text_content().startswith("“b”, “1”: window weight ")


def test_a_system_without_attention_answers(tiny_runs: dict[str, Path], page: Any) -> None:
    with serving(of([tiny_runs["rnnencdec"]])) as place:
        page.goto(f"http://{place}/")
        with page.expect_response("**/look"):
            page.fill("#text", "We can do that.")
            page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelector('#wait').textContent === ''")
        assert page.get_by_text("rnnencdec has nothing to show").is_visible()
        answer = str(package.load(tiny_runs["rnnencdec"]).predict("We can do that."))
        assert page.locator(".answer").text_content() == answer


class Answering:
    """A task that reads inputs of these kinds, or none, and answers with its input."""

    def __init__(self, *accepts: str) -> None:
        self.accepts = accepts

    def read(self, raw: str | bytes) -> str | bytes:
        return raw

    def notes(self, example: Any) -> list[str]:
        return []

    def examples_to_type(self, count: int) -> list[str | bytes]:
        return []


def run_of(task: Any, pictures: list[Any], system: str) -> Run:
    """A run that answers with its input and these pictures."""
    recipe: Any = SimpleNamespace(
        predict=lambda model, batch, config: [f"given {given!r}" for given in batch], pictures=lambda answer: pictures
    )
    task.collate = lambda examples: examples
    config = SimpleNamespace(training=SimpleNamespace(precision="float32", batch_size=8, threads=None))
    return Run(RunFolder(Path("RUN")), system, "tiny", recipe, config, task, torch.nn.Identity(), torch.device("cpu"))


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Shown]:
    """Shown runs of these tasks."""

    def shown_of(*tasks: Any, pictures: Any = (), system: str = SYSTEM) -> Shown:
        runs = iter([run_of(task, list(pictures), system) for task in tasks])
        monkeypatch.setattr(shown, "open_run", lambda path: next(runs))
        return of([tmp_path] * len(tasks))

    return shown_of


def test_a_run_that_needs_no_input_shows_its_answer_at_once(answering: Callable[..., Shown], page: Any) -> None:
    pictures = [Alignment("a", torch.eye(2), ["x", "y"], ["u", "v"], "said", "heard")]
    with serving(answering(Answering("nothing"), pictures=pictures)) as place:
        page.goto(f"http://{place}/")
        page.wait_for_selector(".picture[data-kind=heads] .queries button")
        assert page.locator(".answer").text_content() == "given ''"
        assert not page.locator("#ask").is_visible()
        assert not page.locator("#hear").is_visible()
        page.evaluate("() => document.querySelector('.answer').replaceChildren()")
        page.click("#again")
        page.get_by_text("given ''").wait_for()
        host, port = place.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("POST", "/look", b'{"text": "x"}')
        answer = connection.getresponse()
        assert answer.status == 404
        assert json.loads(answer.read())["error"] == "this page reads nothing, not a text"


def test_a_run_with_optional_text_also_answers_without_it(answering: Callable[..., Shown], page: Any) -> None:
    with serving(answering(Answering("text", "nothing"))) as place:
        page.goto(f"http://{place}/")
        assert page.locator(".answer").text_content() == "given ''"
        page.fill("#text", "x")
        page.keyboard.press("Enter")
        page.get_by_text("given 'x'").wait_for()


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([Answering("video/mp4")], f"{SYSTEM} reads video/mp4; the page can send text, audio/wav, image/*, audio/midi"),
        ([SimpleNamespace()], f"{SYSTEM} reads no input; the page can send text, audio/wav, image/*, audio/midi"),
        ([Answering("image/*"), Answering("nothing")], "reads an image and .* reads nothing; they cannot be compared"),
    ],
)
def test_input_kinds_that_the_page_cannot_send_are_refused(
    answering: Callable[..., Shown], tasks: list[Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said.replace("*;", "[*];").replace("image/*", "image/[*]")):
        answering(*tasks)


def test_an_image_is_sent_and_answered(answering: Callable[..., Shown], page: Any) -> None:
    with serving(answering(Answering("image/*"))) as place:
        page.goto(f"http://{place}/")
        assert not page.locator("#ask").is_visible()
        page.set_input_files("#recording", {"name": "x.png", "mimeType": "image/png", "buffer": b"dots"})
        page.get_by_text("given b'dots'").wait_for()
        page.set_input_files("#recording", {"name": "x.png", "mimeType": "image/png", "buffer": b"x" * 2_500_000})
        page.get_by_text("an image has at most 2 MB, not 2.5 MB").wait_for()


def test_a_midi_file_is_sent_or_taken_from_the_examples_and_nothing_is_an_input_too(
    answering: Callable[..., Shown], page: Any
) -> None:
    task = Answering("audio/midi", "nothing")
    task.examples_to_type = lambda count: ["", b"MThd"]  # type: ignore[method-assign]
    with serving(answering(task)) as place:
        page.goto(f"http://{place}/")
        assert page.locator(".answer").text_content() == "given ''"
        assert page.locator("#file-label").text_content() == "MIDI file (.mid)"
        assert page.locator("#recording").get_attribute("accept").startswith(".mid,")
        assert not page.locator("#microphone").is_visible()
        page.set_input_files("#recording", {"name": "x.mid", "mimeType": "audio/midi", "buffer": b"notes"})
        page.get_by_text("given b'notes'").wait_for()
        assert not page.locator("#sound").is_visible()  # a browser cannot play it
        page.get_by_role("button", name="MIDI file 1").click()
        page.get_by_text("given b'MThd'").wait_for()
        page.click("#again")
        page.get_by_text("given ''").wait_for()
        page.set_input_files("#recording", {"name": "x.mid", "mimeType": "audio/midi", "buffer": b"x" * 2_500_000})
        page.get_by_text("a MIDI file has at most 2 MB, not 2.5 MB").wait_for()


@pytest.fixture
def dial(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The picture kind of a toy, as if its folder were among the systems."""
    systems = importlib.import_module("saccade.systems")
    toy = Path(__file__).parents[1] / "fixtures/toys/toy_dial/systems"
    monkeypatch.setattr(systems, "__path__", [*systems.__path__, str(toy)])
    yield importlib.import_module("saccade.systems.toy_dial.dial").Dial(30.0)
    for name in [name for name in sys.modules if name.startswith("saccade.systems.toy_dial")]:
        del sys.modules[name]


def test_a_picture_of_a_systems_own_kind_is_drawn_by_its_script(
    answering: Callable[..., Shown], page: Any, dial: Any, tmp_path: Path
) -> None:
    """The content policy allows the script of that system, in the served page and in the exported one."""
    with serving(answering(Answering("text"), pictures=[dial], system="toy_dial")) as place:
        page.goto(f"http://{place}/")
        page.fill("#text", "x")
        page.keyboard.press("Enter")
        page.wait_for_selector(".toy-hand")
        assert float(page.locator(".toy-hand").get_attribute("y2")) == pytest.approx(-0.5)
        with page.expect_download() as download:
            page.click("#html")
        download.value.save_as(tmp_path / "kept.html")
        page.goto((tmp_path / "kept.html").as_uri())
        page.wait_for_selector(".toy-hand")


def test_a_client_that_disconnects_frees_the_model() -> None:
    """A long call ends at the next module, when it is cancelled or after its time limit."""
    model, stop, calls = torch.nn.Linear(2, 2), threading.Event(), []

    def run() -> None:
        for call in range(10):
            model(torch.zeros(2))
            calls.append(call)
            if call == 4:
                stop.set()

    with pytest.raises(Stopped), stoppable(stop, 60):
        run()
    assert calls == [0, 1, 2, 3, 4]
    with pytest.raises(Stopped), stoppable(threading.Event(), -1):
        model(torch.zeros(2))
    with stoppable(stop, 60):  # calls in other threads are not affected
        other = threading.Thread(target=lambda: model(torch.zeros(2)))
        other.start()
        other.join()
    assert model(torch.zeros(2)).shape == (2,)  # after the block calls are not affected


def test_a_later_text_cancels_an_earlier_one(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from saccade.app.web import server

    monkeypatch.setattr(server, "READING", 3600.0)  # so that only the later text ends it
    model, ended = torch.nn.Linear(2, 2), []

    def look(given: str | bytes) -> list[View]:
        try:
            while given == "slow":
                model(torch.zeros(2))
                time.sleep(0.01)
        except Stopped:
            ended.append(given)
            raise
        return [View(answer=f"read {given!r}")]

    with serving(Shown("slow", [], "text", look)) as place:
        page = browser.new_page()
        page.goto(f"http://{place}/")
        for text in ("slow", "quick"):
            page.fill("#text", text)
            page.keyboard.press("Enter")
        page.get_by_text("read 'quick'").wait_for(timeout=LONGEST)  # the slow one never ends
        assert ended == ["slow"]
        page.close()


def test_a_client_that_sends_nothing_does_not_block_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from saccade.app.web import server

    monkeypatch.setattr(server, "ARRIVING", 0.3)
    silent = Shown("silent", [], "text", lambda given: [])
    with serving(silent) as place, socket.create_connection(place.split(":"), timeout=180) as sender:
        sender.sendall(f"POST /look HTTP/1.1\r\nHost: {place}\r\nContent-Length: 9\r\n\r\n".encode())
        assert sender.recv(100).startswith(b"HTTP/1.1 408")


def test_a_slow_answer_is_cancelled(tiny_runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    from saccade.app.web import server

    monkeypatch.setattr(server, "READING", 0.0)
    viewer = server.Viewer(of([tiny_runs["rnnsearch"]]), {"testserver"})
    answer = TestClient(viewer.app()).post("/look", json={"text": "We can do that."})
    assert answer.status_code == 503
    assert "try a shorter one" in answer.json()["error"]
    monkeypatch.setattr(server, "READING", 60.0)
    assert TestClient(viewer.app()).post("/look", json={"text": "We can do that."}).status_code == 200


def test_saved_captures_are_shown_and_accept_no_input(tmp_path: Path) -> None:
    seen = Capture()
    seen.hear(kept_map("layer", ("b", "h", "q", "k"), torch.rand(1, 2, 3, 3).softmax(-1)))
    seen.label(["a", "b", "<i>c</i>"]).save(tmp_path / "seen.safetensors")
    shutil.copy(tmp_path / "seen.safetensors", tmp_path / "other.safetensors")
    for files in (["seen.safetensors"], ["seen.safetensors", "other.safetensors"]):
        served = Server(*(tmp_path / file for file in files))
        try:
            status, page, headers = served.ask("GET", "/")
            assert status == 200
            assert all(file.encode() in page for file in files)
            assert b"<i>" not in page
            assert "connect-src 'none'" in headers["content-security-policy"]
            assert served.ask("POST", "/look", {"text": "x"})[0] == 404
        finally:
            assert served.stop() == (0, "")


def test_bad_input(
    saccade: Command, tmp_path: Path, tiny_runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.safetensors").write_bytes(b"x" * 50)
    seen = Capture()
    seen.hear(kept_map("layer", ("q", "k"), torch.eye(2)))
    seen.save(tmp_path / "seen.safetensors")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for arguments, message in (
            ([tmp_path / "nothing"], "there is no such run, and no such file"),
            (["demo"], "this installation has no demo run; train a run"),
            ([], "there is no run in ./runs; train one with: saccade train SYSTEM"),
            ([tmp_path / "empty"], "config.yaml"),
            ([tmp_path / "damaged.safetensors"], "is not a capture, or is damaged"),
            ([tmp_path / "empty", tmp_path / "nothing"], "there is no such run, and no such file"),
            ([tmp_path / "empty", tmp_path / "damaged.safetensors"], "give two runs, or two captures"),
            ([tiny_runs["rnnsearch"], tiny_runs["ctc_speech"]], "they cannot be compared"),
            ([tmp_path / "empty", "--port", "99999"], "expected a port from 0 to 65535"),
            ([tmp_path / "seen.safetensors", "--host", "x" * 70], "cannot listen at xxx"),
        ):
            monkeypatch.chdir(tmp_path)
            monkeypatch.setattr("saccade.runs.places.PACKAGED", tmp_path / "no demo")
            done = saccade("serve", *arguments)
            assert done.status == 2
            assert message in done.err
        done = saccade("serve", tmp_path / "seen.safetensors", "--port", taken.getsockname()[1])
        assert done.status == 2
        assert "cannot listen at 127.0.0.1" in done.err


def test_a_voice_is_recorded(tiny_runs: dict[str, Path], page: Any) -> None:
    """The microphone's stream, here a tone, is sent as a wav file at the rate that the run reads."""
    page.add_init_script(
        """navigator.mediaDevices.getUserMedia = async () => {
            const context = new AudioContext(), tone = context.createOscillator();
            const out = context.createMediaStreamDestination();
            tone.connect(out);
            tone.start();
            return out.stream;
        }"""
    )
    with serving(of([tiny_runs["attention_speech"]])) as place:
        page.goto(f"http://{place}/")
        page.click("#microphone")
        page.wait_for_selector("#microphone[aria-pressed=true]")
        page.wait_for_timeout(700)
        with page.expect_response("**/hear") as answer:
            page.click("#microphone")
        assert answer.value.status == 200, answer.value.text()
        page.wait_for_function("() => document.querySelector('#sound').duration > 0.2")
        head = page.evaluate("async () => [...new Uint8Array(await page.heard.arrayBuffer()).slice(0, 28)]")
        assert (bytes(head[:4]), int.from_bytes(head[24:28], "little")) == (b"RIFF", 8000)


def test_an_exported_page_of_speech_is_heard(tiny_runs: dict[str, Path], page: Any, tmp_path: Path) -> None:
    with serving(of([tiny_runs["attention_speech"]])) as place:
        page.goto(f"http://{place}/")
        page.wait_for_selector(".picture svg")
        with page.expect_download() as download:
            page.click("#html")
        download.value.save_as(tmp_path / "kept.html")
    page.goto((tmp_path / "kept.html").as_uri())
    page.wait_for_function("() => document.querySelector('#sound').duration > 0")
    page.evaluate("() => present()[0].shown[0].handle.play(0.2)")
    assert page.locator(".picture svg path[visibility=visible]").count() == 1  # where the sound is now


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT with random weights, as a folder of Hugging Face."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("somewhere") / "small-bert"
    folder.mkdir()
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "the",
        "animal",
        "didn",
        "'",
        "t",
        "cross",
        "street",
        "it",
        "was",
        "too",
        "tired",
        ".",
    ]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=7
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def test_a_checkpoint_is_opened(checkpoint: Path, page: Any) -> None:
    with serving(of([checkpoint])) as place:
        page.goto(f"http://{place}/")
        assert page.locator("h1").text_content() == "BertModel of small-bert"  # without the folders before it
        assert page.locator(".heads [aria-pressed=true]").count() == 1
        assert page.locator(".queries button").first.text_content() == "[CLS]"
        assert page.locator("#examples button").count() == 4
        typed(page, "it was tired")
        assert page.locator(".queries button").all_text_contents() == ["[CLS]", "it", "was", "tired", "[SEP]"]


def test_a_run_and_a_checkpoint_are_not_compared(checkpoint: Path, tiny_runs: dict[str, Path]) -> None:
    with pytest.raises(InvalidInput, match="a run and a checkpoint cannot be compared"):
        of([checkpoint, tiny_runs["rnnsearch"]])


def test_two_runs_of_one_name_are_told_apart_without_the_disk() -> None:
    found = shown.told_apart(["x tiny", "x tiny"], [Path("/disk/one/run"), Path("/disk/two/run")])
    assert found == ["A: x tiny (one/run)", "B: x tiny (two/run)"]


class Telling(Answering):
    """A task whose examples have several lines."""

    def examples_to_type(self, count: int) -> list[str | bytes]:
        return ["One.\nTwo.\nWhich?", "Three.\nFour.\nWhat?"]


def test_a_text_of_several_lines_has_a_field_of_several(answering: Callable[..., Shown], page: Any) -> None:
    weights = Alignment("hops", torch.eye(2, 3), ["a", "b"], ["One.", "Two.", "Three."], "hop", "line", tall=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    with serving(answering(Telling("text"), pictures=[weights])) as place:
        page.goto(f"http://{place}/")
        assert page.input_value("textarea#text") == "One.\nTwo.\nWhich?"
        assert page.locator("#examples button").all_text_contents() == ["One. … Which?", "Three. … What?"]
        assert page.locator(".picture[data-kind=alignment] svg").get_by_text("Three.").is_visible()
        page.locator("#examples button").nth(1).click()
        page.get_by_text("given 'Three.\\nFour.\\nWhat?'").wait_for()
        assert page.title() == f"{SYSTEM} tiny: What? -> given 'Three.\\nFour.\\nWhat?'"
        page.fill("#text", "A")
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        page.keyboard.type("B?")
        page.wait_for_timeout(600)  # longer than the pause after which a line would be sent
        assert len(asked) == 1
        page.keyboard.press("Control+Enter")
        page.get_by_text("given 'A\\nB?'").wait_for()
        page.wait_for_function("() => new URLSearchParams(location.hash.slice(1)).get('text') === 'A\\nB?'")
        link = page.url
        page.goto("about:blank")
        page.goto(link)
        page.get_by_text("given 'A\\nB?'").wait_for()
        assert page.input_value("#text") == "A\nB?"
        page.fill("#text", "word " * 1000)  # more than a line may have
        page.click("#ask button")
        page.get_by_text("given 'word word").wait_for()
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
