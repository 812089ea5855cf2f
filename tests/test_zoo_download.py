"""zoo/download.py against a real server on this machine: it breaks the line, ignores ranges, sends other bytes."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from keras_dd.config import UserError
from keras_dd.zoo import download

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Sends `server.content`; the next `server.breaks` times only half of what it has announced."""

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.knows_ranges else 0
        rest = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            rest = rest[: len(rest) // 2]
        with suppress(ConnectionError):  # whoever was promised less hangs up
            self.wfile.write(rest)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.breaks, server.knows_ranges, server.status, server.asked = CONTENT, 0, True, 200, []
        server.url = f"http://127.0.0.1:{server.server_port}/a.npz"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server):
    return download.fetch(server.url, len(CONTENT), SHA256, "a.npz")


def test_it_is_fetched_once_and_then_there_without_a_network(server, tmp_path):
    path = fetch(server)
    assert path.read_bytes() == CONTENT and path.parent == tmp_path / "keras-dd" == download.folder()
    server.status = 500
    assert fetch(server) == path and server.asked == [None]
    assert list(path.parent.iterdir()) == [path]


def test_of_two_at_once_one_fetches_it(server):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(fetch, [server, server])
    assert first == second and first.read_bytes() == CONTENT and server.asked == [None]
    assert list(first.parent.iterdir()) == [first]


def test_a_line_that_breaks_is_taken_up_again(server):
    server.breaks = 2
    assert fetch(server).read_bytes() == CONTENT
    first, *again = [asked and int(asked.removeprefix("bytes=").removesuffix("-")) for asked in server.asked]
    assert first is None and len(again) == 2 and 100_000 < again[0] <= 150_000 < again[1] <= 225_000


def test_a_download_that_was_given_up_goes_on_later(server):
    server.breaks = 3
    with pytest.raises(UserError, match="could not be downloaded .*: run again to go on, or put the file to"):
        fetch(server)
    assert fetch(server).read_bytes() == CONTENT
    assert int(server.asked[3].removeprefix("bytes=").removesuffix("-")) > 200_000


def test_a_server_without_ranges_sends_all_again(server):
    server.breaks, server.knows_ranges = 1, False
    assert fetch(server).read_bytes() == CONTENT
    assert server.asked[0] is None and server.asked[1].startswith("bytes=")


def test_other_bytes_are_refused_and_not_kept(server):
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(UserError, match="does not have the SHA-256"):
        fetch(server)
    assert list(download.folder().iterdir()) == []


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(server):
    path = fetch(server)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert fetch(server).read_bytes() == CONTENT and len(server.asked) == 2


def test_a_download_that_began_with_something_else_begins_anew(server):
    path = download.kept(SHA256, "a.npz")
    path.parent.mkdir()
    path.with_name(f"{path.name}.part").write_bytes(b"<html>log in first</html>")
    assert fetch(server).read_bytes() == CONTENT
    assert server.asked == ["bytes=25-", None]


def test_whoever_waited_for_a_download_that_failed_begins_its_own(server):
    server.content = CONTENT[:-1] + b"?"
    with ThreadPoolExecutor(2) as pool:
        errors = [each.exception() for each in [pool.submit(fetch, server) for _ in range(2)]]
    assert all("does not have the SHA-256" in str(error) for error in errors) and len(server.asked) == 2


def test_no_more_is_taken_than_the_card_says(server):
    server.content = CONTENT + bytes(10_000_000)
    assert fetch(server).read_bytes() == CONTENT


def test_a_shorter_file_is_no_success(server):
    server.content = CONTENT[:1000]
    with pytest.raises(UserError, match="could not be downloaded"):
        fetch(server)


def test_a_file_put_there_by_hand_is_taken(server):
    server.status = 404
    with pytest.raises(UserError, match="404") as refused:
        fetch(server)
    assert len(server.asked) == 1 and "\n" not in str(refused.value)
    path = download.kept(SHA256, "a.npz")
    assert str(path) in str(refused.value)
    path.write_bytes(CONTENT)
    assert fetch(server) == path


def test_no_server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="could not be downloaded"):
        download.fetch("http://127.0.0.1:9/a.npz", 10, SHA256, "a.npz")
