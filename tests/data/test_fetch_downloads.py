"""Downloads from a server that drops, stalls, lies and changes its files."""

from __future__ import annotations

import hashlib
import json
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetch_server import (
    HASTE,
    Server,
    Told,
    announce,
    claim,
    drop,
    more,
    redirect,
    serve,
    serving,
    stall,
    status,
    trickle,
    web_page,
    whole,
)

import gvr_bench.api as gvr
from gvr_bench.data.download import Patience, download

DATA = bytes(range(256)) * 4


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as running:
        yield running


@pytest.fixture
def told() -> Told:
    return Told()


def get(remote: gvr.Remote, folder: Path, told: Told) -> bytes:
    download(remote, folder / remote.name, HASTE, told)
    return (folder / remote.name).read_bytes()


def fault(remote: gvr.Remote, folder: Path, told: Told) -> str:
    with pytest.raises(gvr.DataError) as caught:
        download(remote, folder / remote.name, HASTE, told)
    assert not (folder / remote.name).exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_connection_that_drops_is_gone_on_with(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300), drop(300))
    assert get(remote, tmp_path, told) == DATA
    assert server.ranges == ["", "bytes=300-", "bytes=600-"]
    assert server.asked[1][2] == server.etags["/a.bin"]
    assert "the connection ended after 300 of 1,024 bytes; again in" in told.said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_the_same_command_goes_on_after_a_stop(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300), drop(0), drop(0), drop(0))
    assert "tried 3 times" in fault(remote, tmp_path, told)
    assert (tmp_path / ".a.bin.partial").read_bytes() == DATA[:300]
    server.misdeeds.clear()
    server.asked.clear()
    assert get(remote, tmp_path, told) == DATA
    assert server.ranges == ["bytes=300-"]


def test_a_stop_by_the_user_leaves_what_came(server, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300))

    class Impatient(Told):
        def say(self, text: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(remote, tmp_path / "a.bin", HASTE, Impatient())
    assert (tmp_path / ".a.bin.partial").read_bytes() == DATA[:300]


def test_a_server_that_only_drops_is_given_up(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, *[drop(0)] * 9)
    assert "after 0 of 1,024 bytes; tried 3 times" in fault(remote, tmp_path, told)
    assert len(server.asked) == 3


def test_what_brings_something_each_time_is_not_given_up(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, *[drop(100)] * 9)
    assert get(remote, tmp_path, told) == DATA
    assert len(server.asked) == 10


def test_without_ranges_it_begins_again(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300), whole)
    assert get(remote, tmp_path, told) == DATA


def test_a_file_that_changed_in_between_is_begun_again(server, told, tmp_path) -> None:
    server.add("a.bin", b"old" + DATA[3:], drop(300), drop(0), drop(0))
    remote = gvr.Remote(
        "a.bin",
        (f"{server.address}/a.bin",),
        len(DATA),
        f"sha256:{hashlib.sha256(DATA).hexdigest()}",
    )
    fault(remote, tmp_path, told)
    server.add("a.bin", DATA)
    assert get(remote, tmp_path, told) == DATA


@pytest.mark.parametrize(
    "misdeed",
    [
        claim("bytes 200-209/1024"),
        claim("bytes 300-309"),
        claim("bytes 300-309/1024", ETag='"another"'),
    ],
)
def test_a_part_of_something_else_is_not_appended(server, told, tmp_path, misdeed) -> None:
    remote = server.add("a.bin", DATA, drop(300), misdeed)
    assert get(remote, tmp_path, told) == DATA
    assert server.ranges == ["", "bytes=300-", ""]


def test_a_part_of_a_longer_file_is_refused(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300), claim("bytes 300-309/2048"))
    assert "it has 2048 bytes, 1024 expected" in fault(remote, tmp_path, told)


def test_a_changed_file_without_an_etag_is_noticed_by_its_digest(server, told, tmp_path) -> None:
    server.add("a.bin", b"old" + DATA[3:], drop(300, etag=False), drop(0), drop(0))
    remote = gvr.Remote(
        "a.bin",
        (f"{server.address}/a.bin",),
        len(DATA),
        f"sha256:{hashlib.sha256(DATA).hexdigest()}",
    )
    fault(remote, tmp_path, told)
    server.add("a.bin", DATA)
    assert get(remote, tmp_path, told) == DATA
    assert any("it is another file" in line and "begun again" in line for line in told.said)


def test_without_etag_and_digest_nothing_is_gone_on_with(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(300, etag=False), digest="")
    assert get(remote, tmp_path, told) == DATA
    assert server.ranges == ["", ""]


def test_notes_that_cannot_be_read_begin_it_again(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA)
    (tmp_path / ".a.bin.partial").write_bytes(b"?" * 500)
    (tmp_path / ".a.bin.partial.json").write_text("{")
    assert get(remote, tmp_path, told) == DATA
    assert server.ranges == [""]


def test_a_partial_file_longer_than_the_file_is_begun_again(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA)
    (tmp_path / ".a.bin.partial").write_bytes(DATA * 2)
    notes = {"url": remote.urls[0], "etag": server.etags["/a.bin"], "modified": ""}
    (tmp_path / ".a.bin.partial.json").write_text(json.dumps(notes))
    assert get(remote, tmp_path, told) == DATA


def test_a_complete_partial_file_needs_no_network(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA)
    (tmp_path / ".a.bin.partial").write_bytes(DATA)
    notes = {"url": remote.urls[0], "etag": "", "modified": ""}
    (tmp_path / ".a.bin.partial.json").write_text(json.dumps(notes))
    assert get(remote, tmp_path, told) == DATA
    assert server.asked == []


@pytest.mark.parametrize(
    ("misdeed", "why"),
    [
        (announce(1000), "it announces 1000 bytes, 1024 expected"),
        (announce(5000), "it announces 5000 bytes, 1024 expected"),
        (more, "it sent more than the 1,024 bytes expected"),
        (status(404), "it answered 404 Not Found"),
        (status(403), "it answered 403 Forbidden"),
        (status(204), "it answered 204"),
        (web_page, "it sent a web page in place of the file"),
        (redirect("http://example.org/a.bin"), "http://example.org/a.bin, which is not https"),
        (redirect("file:///etc/passwd"), "it answered 302"),
        (redirect("ftp://example.org/a"), "ftp://example.org/a, which is not https"),
    ],
)
def test_what_no_second_try_mends_is_refused_at_once(server, told, tmp_path, misdeed, why) -> None:
    remote = server.add("a.bin", DATA, misdeed, serve)
    assert why in fault(remote, tmp_path, told)
    assert len(server.asked) == 1


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(server, told, tmp_path, code) -> None:
    remote = server.add("a.bin", DATA, status(code, Retry_After="7"), status(code))
    assert get(remote, tmp_path, told) == DATA
    assert f"it answered {code}" in told.said[0]


def test_it_does_not_wait_as_long_as_any_server_likes(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, *[status(503, Retry_After="999999")] * 2)
    patience = Patience(tries=3, pause=0.0, longest=0.1)
    began = time.monotonic()
    download(remote, tmp_path / "a.bin", patience, told)
    assert 0.2 < time.monotonic() - began < 0.8


def test_a_server_that_stalls_is_asked_for_the_rest(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, stall)
    assert get(remote, tmp_path, told) == DATA
    assert server.ranges == ["", "bytes=20-"]
    assert "timed out" in told.said[0]


def test_a_server_that_only_trickles_is_asked_again(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, trickle)
    patience = Patience(silence=0.3, least=1000.0, tries=3, pause=0.01)
    download(remote, tmp_path / "a.bin", patience, told)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert "fewer than 1000 bytes a second came" in told.said[0]


def test_a_wrong_file_is_not_kept(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA)
    server.files["/a.bin"] = b"evil" + DATA[4:]
    assert "it is another file (sha256:" in fault(remote, tmp_path, told)
    assert list(tmp_path.iterdir()) == []


def test_the_next_mirror_is_asked(server, told, tmp_path) -> None:
    bad, good = server.add("b.bin", DATA, status(404)), server.add("a.bin", DATA)
    remote = gvr.Remote("a.bin", (*bad.urls, *good.urls), len(DATA), good.digest)
    assert get(remote, tmp_path, told) == DATA


def test_plain_http_is_for_this_machine_alone(told, tmp_path) -> None:
    remote = gvr.Remote("a.bin", ("http://example.org/a.bin",), 3)
    assert "http://example.org/a.bin, which is not https" in fault(remote, tmp_path, told)


def test_an_address_that_cannot_be_reached_is_given_up_at_once(server, told, tmp_path) -> None:
    remote = gvr.Remote("a.bin", ("http://127.0.0.1:1/a.bin",), 3)
    assert "it cannot be reached" in fault(remote, tmp_path, told)
    assert told.said == []


def test_a_folder_that_cannot_be_written_is_named(server, told) -> None:
    remote = server.add("a.bin", DATA)
    with pytest.raises(gvr.DataError, match=r"cannot write /dev/null/a\.bin"):
        download(remote, Path("/dev/null/a.bin"), HASTE, told)


def test_a_full_disk_is_said_and_what_came_is_kept(server, told, tmp_path) -> None:
    remote = server.add("a.bin", DATA, drop(600))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))  # pytest writes to files, too
    try:
        download(remote, tmp_path / "a.bin", HASTE, told)
        message = ""
    except gvr.DataError as error:
        message = str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large; what is there is kept" in message
    assert (tmp_path / ".a.bin.partial").read_bytes() == DATA[:700]
    assert get(remote, tmp_path, told) == DATA


def test_two_processes_at_once_get_one_whole_file(server, tmp_path) -> None:
    remote = server.add("a.bin", DATA, stall)
    threads = [
        threading.Thread(target=gvr.fetch, args=([remote], tmp_path), kwargs={"patience": HASTE})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert len(server.asked) == 2  # the one that stalled, and the rest
