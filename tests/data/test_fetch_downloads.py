"""Downloads from a server that drops, stalls, lies and changes its files."""

from __future__ import annotations

import hashlib
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetch_server import (
    RecordedProgress,
    Server,
    announce,
    claim,
    drop,
    hang_up,
    ignore_range,
    redirect,
    send_more,
    serve,
    serving,
    stall,
    status,
    web_page,
)

import gvr_bench.api as gvr
from gvr_bench.data import download as downloads
from gvr_bench.data.download import download

DATA = bytes(range(256)) * 4


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as running:
        yield running


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


def get(remote: gvr.Remote, folder: Path, progress: RecordedProgress) -> bytes:
    download(remote, folder / remote.name, progress)
    return (folder / remote.name).read_bytes()


def fault(remote: gvr.Remote, folder: Path, progress: RecordedProgress) -> str:
    with pytest.raises(gvr.DataError) as caught:
        download(remote, folder / remote.name, progress)
    assert not (folder / remote.name).exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def remote_of(server: Server, data: bytes) -> gvr.Remote:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return gvr.Remote("a.bin", (f"{server.address}/a.bin",), len(data), digest)


# Interrupted


def test_dropped_connection_is_resumed(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300), drop(300))
    assert get(remote, tmp_path, progress) == DATA
    assert server.ranges == ["", "bytes=300-", "bytes=600-"]
    assert "300 of 1,024 bytes" in progress.lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_connection_without_answer_is_opened_again(server, progress, tmp_path) -> None:
    assert get(server.add("a.bin", DATA, hang_up), tmp_path, progress) == DATA
    assert server.ranges == ["", ""]
    assert "without response" in fault(
        server.add("b.bin", DATA, *[hang_up] * 3), tmp_path, progress
    )


def test_second_command_resumes_first(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300), drop(0), drop(0), drop(0))
    assert "3 attempts" in fault(remote, tmp_path, progress)
    assert (tmp_path / ".a.bin.partial").read_bytes() == DATA[:300]
    server.misdeeds.clear()
    server.requests.clear()
    assert get(remote, tmp_path, progress) == DATA
    assert server.ranges == ["bytes=300-"]


def test_interrupt_keeps_partial_file(server, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300))

    class Impatient(RecordedProgress):
        def log(self, text: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(remote, tmp_path / "a.bin", Impatient())
    assert (tmp_path / ".a.bin.partial").read_bytes() == DATA[:300]


def test_attempts_without_bytes_end(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, *[drop(0)] * 9)
    assert "0 of 1,024 bytes" in fault(remote, tmp_path, progress)
    assert len(server.requests) == 3


def test_attempts_with_bytes_continue(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, *[drop(100)] * 9)
    assert get(remote, tmp_path, progress) == DATA
    assert len(server.requests) == 10


def test_stalled_server_is_asked_for_rest(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, stall)
    assert get(remote, tmp_path, progress) == DATA
    assert server.ranges == ["", "bytes=20-"]
    assert "timed out" in progress.lines[0]


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_busy_server_is_retried(server, progress, tmp_path, code) -> None:
    remote = server.add("a.bin", DATA, status(code, Retry_After="7"), status(code))
    assert get(remote, tmp_path, progress) == DATA
    assert str(code) in progress.lines[0]


def test_retry_after_is_capped(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, *[status(503, Retry_After="999999")] * 2)
    began = time.monotonic()
    get(remote, tmp_path, progress)
    assert time.monotonic() - began < 3600  # of the 999999 s that the server says


# Parts that do not belong together


def test_server_without_ranges_starts_over(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300), ignore_range)
    assert get(remote, tmp_path, progress) == DATA


def test_file_changed_between_parts(server, progress, tmp_path) -> None:
    server.add("a.bin", b"old" + DATA[3:], drop(300), drop(0), drop(0), drop(0))
    remote = remote_of(server, DATA)
    fault(remote, tmp_path, progress)
    server.add("a.bin", DATA)
    assert get(remote, tmp_path, progress) == DATA
    assert any("another file" in line for line in progress.lines)


def test_wrong_part_is_not_appended(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300), claim("bytes 200-209/1024"))
    assert get(remote, tmp_path, progress) == DATA
    assert server.ranges == ["", "bytes=300-", ""]


def test_part_of_longer_file_is_refused(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300), claim("bytes 300-309/2048"))
    assert "2048 bytes, 1024 expected" in fault(remote, tmp_path, progress)


@pytest.mark.parametrize("partial", [b"?" * 500, DATA * 2, b"?" * 1024])
def test_foreign_partial_file_is_replaced(server, progress, tmp_path, partial) -> None:
    (tmp_path / ".a.bin.partial").write_bytes(partial)
    assert get(server.add("a.bin", DATA), tmp_path, progress) == DATA


def test_complete_partial_file_needs_no_network(server, progress, tmp_path) -> None:
    (tmp_path / ".a.bin.partial").write_bytes(DATA)
    assert get(server.add("a.bin", DATA), tmp_path, progress) == DATA
    assert server.requests == []


# Refused


@pytest.mark.parametrize(
    ("misdeed", "reason"),
    [
        (announce(1000), "announces 1000 bytes, 1024 expected"),
        (announce(5000), "announces 5000 bytes, 1024 expected"),
        (send_more, "more than the 1,024 bytes"),
        (status(404), "404 Not Found"),
        (status(403), "403 Forbidden"),
        (status(204), "204"),
        (web_page, "web page"),
        (redirect("http://example.org/a.bin"), "http://example.org/a.bin"),
        (redirect("file:///etc/passwd"), "file:///etc/passwd"),
        (redirect("ftp://example.org/a"), "ftp://example.org/a"),
    ],
)
def test_final_refusal_is_not_retried(server, progress, tmp_path, misdeed, reason) -> None:
    remote = server.add("a.bin", DATA, misdeed, serve)
    assert reason in fault(remote, tmp_path, progress)
    assert len(server.requests) == 1


def test_wrong_digest_leaves_nothing(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA)
    server.files["/a.bin"] = b"evil" + DATA[4:]
    assert "another file (sha256:" in fault(remote, tmp_path, progress)
    assert list(tmp_path.iterdir()) == []


def test_next_mirror_is_tried(server, progress, tmp_path) -> None:
    bad, good = server.add("b.bin", DATA, status(404)), server.add("a.bin", DATA)
    remote = gvr.Remote("a.bin", (*bad.urls, *good.urls), len(DATA), good.digest)
    assert get(remote, tmp_path, progress) == DATA


def test_plain_http_is_refused(server, progress, tmp_path, monkeypatch) -> None:
    remote = server.add("a.bin", DATA)
    monkeypatch.setattr(downloads, "SCHEMES", ("https://",))
    assert "only https is allowed" in fault(remote, tmp_path, progress)
    assert server.requests == []


def test_unreachable_server_is_not_retried(server, progress, tmp_path) -> None:
    remote = gvr.Remote("a.bin", ("http://127.0.0.1:1/a.bin",), 3, "md5:0")
    assert "Connection refused" in fault(remote, tmp_path, progress)
    assert progress.lines == []


def test_proxy_that_is_none_is_not_retried(server, progress, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    remote = gvr.Remote("a.bin", ("https://192.0.2.1/a.bin",), 3, "md5:0")
    (tmp_path / ".a.bin.partial").write_bytes(b"a")
    assert "check the variable https_proxy" in fault(remote, tmp_path, progress)
    assert progress.lines == []


def test_unwritable_folder_is_named(server, progress) -> None:
    remote = server.add("a.bin", DATA)
    with pytest.raises(gvr.DataError, match=r"cannot write /dev/null/a\.bin"):
        download(remote, Path("/dev/null/a.bin"), progress)


def test_full_disk_keeps_partial_file(server, progress, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(600))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))  # pytest writes to files, too
    try:
        download(remote, tmp_path / "a.bin", progress)
        message = ""
    except gvr.DataError as error:
        message = str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in message
    assert (tmp_path / ".a.bin.partial").read_bytes() == DATA[:700]
    assert get(remote, tmp_path, progress) == DATA


def test_concurrent_fetches_download_once(server, tmp_path) -> None:
    remote = server.add("a.bin", DATA, stall)
    threads = [threading.Thread(target=gvr.fetch, args=([remote], tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert len(server.requests) == 2  # the one that stalled, and the rest
