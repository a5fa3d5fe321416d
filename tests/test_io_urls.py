"""Files behind URLs: read in parts, with a server that fails, and with one that sends no parts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pixlab.digis import Digis
from pixlab.errors import PixlabError
from pixlab.io import compress, info, iterate, read, remote, write
from pixlab.io.places import Url, as_place, expand
from tests.helpers import random_digis
from tests.io_cases import DATA, SUFFIXES, is_clean, same, truth

MANY = "edm_many_none_split99.root"


class Server:
    """An HTTP server of one directory, which counts what it sends and breaks when it is told to."""

    def __init__(self, directory: Path, *, parts: bool = True) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.broken: Callable[[int], bool] = lambda number: False  # of the request for a part
        self.status = 503
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(directory))

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                path = Path(self.translate_path(self.path))
                if not parts or asked is None or not path.is_file():
                    super().do_GET()
                    return
                first, _, last = asked.removeprefix("bytes=").partition("-")
                data = path.read_bytes()
                start, stop = int(first), min(int(last) + 1, len(data))
                server.ranges.append((start, stop))
                if server.broken(len(server.ranges)):
                    if server.status:
                        self.send_error(server.status)
                    self.close_connection = True
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
                self.send_header("Content-Length", str(stop - start))
                self.end_headers()
                self.wfile.write(data[start:stop])

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def sent(self) -> int:
        """Bytes of the parts that were asked for."""
        return sum(stop - start for start, stop in self.ranges)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE", 0.0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_comes_through(suffix: str, served: Server, tmp_path: Path) -> None:
    events = random_digis(n_events=7, seed=3)
    write(events, tmp_path / f"file{suffix}")
    url = f"{served.url}/file{suffix}"
    assert same(read(url), events)
    assert same(read(url, events=(2, 4)), events[2:4])
    blocks = list(iterate([url, str(tmp_path / f"file{suffix}")], events=3))
    assert same(Digis.concatenate(blocks), Digis.concatenate([events, events]))
    assert info(url)["digis"] == events.n_digis
    facts = compress(url, tmp_path / "out.pxl")
    assert facts["events"] == 7


@pytest.mark.parametrize(
    "name",
    [
        "event000000001-cells.csv.gz",  # which needs the file beside it
        "event000000000-cells.csv.gz",
        "fei4_hits.h5",
        "timepix/data002.txt",
        MANY,
        "flat_vectors.root",
        "rntuple_vectors.root",
    ],
)
def test_files_of_others(name: str) -> None:
    server = Server(DATA)
    try:
        assert read(f"{server.url}/{name}") == read(DATA / name)
    finally:
        server.close()


def test_only_what_is_needed_is_fetched(served: Server, tmp_path: Path) -> None:
    """One event of many: the description of the file and one part of its baskets."""
    source = DATA / "edm_pu60_zstd_split99.root"
    (tmp_path / "a.root").write_bytes(source.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "_BLOCK", 1 << 12)
        one = read(f"{served.url}/a.root", events=(1, 2), detector="phase1")
    assert one == truth("pu60")[1:]
    assert served.sent < 0.7 * source.stat().st_size
    assert len(served.ranges) < 12  # baskets are fetched together


def test_a_query_is_no_pattern(served: Server, tmp_path: Path) -> None:
    write(random_digis(n_events=2), tmp_path / "a.npz")
    assert len(read(f"{served.url}/a.npz?token=a*b[c]")) == 2
    url = Url("https://host/dir/event1-cells.csv?x=/y.csv")
    assert url.name == "event1-cells.csv"
    assert str(url.with_name("b")) == "https://host/dir/b?x=/y.csv"


def test_patterns_of_urls(served: Server, tmp_path: Path) -> None:
    for i in range(3):
        write(random_digis(n_events=2, seed=i), tmp_path / f"part{i}.npz")
    found = list(iterate(f"{served.url}/part*.npz", events=4))
    assert [len(block) for block in found] == [4, 2]
    assert Digis.concatenate(found) == Digis.concatenate(
        [random_digis(n_events=2, seed=i) for i in range(3)]
    )
    with pytest.raises(PixlabError, match="no file matches"):
        list(iterate(f"{served.url}/other*.npz"))


def test_places() -> None:
    assert as_place("file:///tmp/a%20b.root") == Path("/tmp/a b.root")
    assert isinstance(as_place("root://host//store/a.root"), Url)
    assert isinstance(as_place("simplecache::https://host/a.root"), Url)
    assert as_place("dir/a:b.root") == Path("dir/a:b.root")
    assert expand(["https://host/a.root", "b.root"]) == [Url("https://host/a.root"), Path("b.root")]


def test_in_memory_and_cached_files(served: Server, tmp_path: Path) -> None:
    import fsspec

    events = random_digis(n_events=2)
    write(events, tmp_path / "a.parquet")
    fsspec.filesystem("memory").pipe("/pixlab/a.parquet", (tmp_path / "a.parquet").read_bytes())
    assert read("memory://pixlab/a.parquet") == events
    assert read(f"simplecache::{served.url}/a.parquet") == events


class TestFailures:
    """What breaks is one line that names the URL, the event and the next step."""

    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "_BLOCK", 1 << 10)
        monkeypatch.setattr(remote, "_KEPT", 8)

    @pytest.mark.parametrize("status", [503, 403, 0])
    def test_midway(self, status: int, served: Server, tmp_path: Path) -> None:
        shutil.copy(DATA / MANY, tmp_path)
        url, served.status = f"{served.url}/{MANY}", status
        blocks = iterate(url, events=10, detector="phase1")
        first = next(blocks)
        served.broken = lambda number: True
        with pytest.raises(PixlabError) as caught:
            list(blocks)
        text = str(caught.value)
        assert is_clean(caught.value, Path(url.replace("://", ":/"))) or url in text
        assert "did not arrive" in text
        assert "(events " in text
        assert text.endswith("check the connection and try again")
        assert first == truth("many")[:10]

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_every_format_says_so(self, suffix: str, served: Server, tmp_path: Path) -> None:
        """Also where a library is in between: none of them makes it a damaged file."""
        write(random_digis(n_events=40, n_digis=20_000, n_modules=80), tmp_path / f"file{suffix}")
        url = f"{served.url}/file{suffix}"
        failures = 0
        for good in (1, 2, 3, 5, 8, 13):
            served.ranges.clear()
            served.broken = lambda number, good=good: number > good  # type: ignore[misc]
            try:
                read(url)
            except PixlabError as error:
                failures += 1
                assert url in str(error)
                assert "did not arrive" in str(error)
                assert error.hint == "check the connection and try again"
        assert failures

    def test_a_short_failure_is_overcome(self, served: Server, tmp_path: Path) -> None:
        shutil.copy(DATA / MANY, tmp_path)
        served.broken = lambda number: number % 3 == 2
        assert read(f"{served.url}/{MANY}") == truth("many")

    def test_no_file_and_no_server(self, served: Server, tmp_path: Path) -> None:
        for call in (read, info, lambda u: list(iterate(u))):
            with pytest.raises(
                PixlabError, match=r"none\.root cannot be opened: it does not exist"
            ):
                call(f"{served.url}/none.root")
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.root"
            with pytest.raises(PixlabError, match="cannot be opened") as caught:
                read(url)
        assert url in str(caught.value)
        (tmp_path / "empty.root").touch()
        with pytest.raises(PixlabError, match="is empty"):
            read(f"{served.url}/empty.root")

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("gopher://host/a.root", "is no URL that can be read"),
            ("http://", "cannot be opened"),
            ("http://[/a.root", "cannot be|is no URL"),
        ],
    )
    def test_odd_urls(self, url: str, words: str) -> None:
        with pytest.raises(PixlabError, match=words) as caught:
            read(url)
        assert "\n" not in str(caught.value)

    def test_silence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Silent(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                time.sleep(3)

            do_GET = do_HEAD

        monkeypatch.setattr(remote, "_SILENCE", 0.2)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        began = time.monotonic()
        try:
            with pytest.raises(PixlabError, match="cannot be opened"):
                read(f"http://127.0.0.1:{server.server_port}/silent.root")
        finally:
            server.shutdown()
            server.server_close()
        assert time.monotonic() - began < 30

    def test_damage_is_still_damage(self, served: Server, tmp_path: Path) -> None:
        whole = (DATA / MANY).read_bytes()
        (tmp_path / "cut.root").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(PixlabError, match="is truncated"):
            read(f"{served.url}/cut.root")


@pytest.mark.parametrize("suffix", [".root", ".parquet", ".pxl", ".h5"])
def test_a_server_without_parts_sends_the_file_once(suffix: str, tmp_path: Path) -> None:
    """As `python -m http.server` does."""
    events = random_digis(n_events=5)
    write(events, tmp_path / f"a{suffix}")
    server = Server(tmp_path, parts=False)
    before = set(Path(os.environ.get("TMPDIR", "/tmp")).glob("pixlab-*"))
    try:
        assert same(read(f"{server.url}/a{suffix}"), events)
        assert [len(b) for b in iterate(f"{server.url}/a{suffix}", events=2)] == [2, 2, 1]
    finally:
        server.close()
    assert set(Path(os.environ.get("TMPDIR", "/tmp")).glob("pixlab-*")) <= before


# -- XRootD ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def xrootd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A server of XRootD on this machine: its directory, and the URL of that."""
    program = shutil.which("xrootd")
    missing = "Debian's xrootd-server" if program is None else ""
    try:
        import fsspec_xrootd  # noqa: F401
    except ImportError:
        missing = "the extra xrootd"
    if missing or program is None:
        if os.environ.get("PIXLAB_REQUIRE_XROOTD") == "1":
            pytest.fail(f"{missing} is required (PIXLAB_REQUIRE_XROOTD=1) and not installed")
        pytest.skip(f"{missing} is not installed")
    # of all that is above it, only what others may enter: root must become somebody else there
    home = Path(tempfile.mkdtemp(prefix="pixlab-xrootd-"))
    data = home / "data" / "store"
    data.mkdir(parents=True)
    home.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (home / "config").write_text(
        f"xrd.port {port}\nxrd.network nodnr\nall.export /store\noss.localroot {home}/data\n"
        f"all.adminpath {home}/admin\nall.pidpath {home}/admin\n"
    )
    command = [program, "-c", str(home / "config"), "-l", str(home / "log"), "-n", "pixlab"]
    if os.getuid() == 0:
        shutil.chown(home, "nobody")
        command += ["-R", "nobody"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None, (home / "log").read_text()[-2000:]
                time.sleep(0.1)
            yield data, f"root://127.0.0.1:{port}//store"
        finally:
            server.terminate()
            server.wait(20)
            shutil.rmtree(home, ignore_errors=True)


@pytest.mark.slow
class TestXrootd:
    """The extra ``xrootd`` against Debian's ``xrootd-server``."""

    def test_files(self, xrootd: tuple[Path, str]) -> None:
        data, url = xrootd
        for name in (MANY, "rntuple_vectors.root", "fei4_hits.h5"):
            shutil.copy(DATA / name, data)
            (data / name).chmod(0o644)
            assert read(f"{url}/{name}") == read(DATA / name)
        assert info(f"{url}/{MANY}")["digis"] == truth("many").n_digis
        found = list(iterate(f"{url}/edm*.root", events=50))
        assert Digis.concatenate(found) == truth("many")

    def test_no_file(self, xrootd: tuple[Path, str]) -> None:
        with pytest.raises(PixlabError, match=r"none\.root cannot be opened: it does not exist"):
            read(f"{xrootd[1]}/none.root")

    def test_midway(self, xrootd: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """The file is cut while it is read."""
        monkeypatch.setattr(remote, "_BLOCK", 1 << 10)
        monkeypatch.setattr(remote, "_KEPT", 8)
        data, url = xrootd
        shutil.copy(DATA / MANY, data / "cut.root")
        (data / "cut.root").chmod(0o644)
        blocks = iterate(f"{url}/cut.root", events=10, detector="phase1")
        next(blocks)
        os.truncate(data / "cut.root", 1000)
        with pytest.raises(PixlabError, match=r"\(events .*cut\.root.* did not arrive") as caught:
            list(blocks)
        assert "\n" not in str(caught.value)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Please install fsspec-xrootd to access the xrootd storage system")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(PixlabError, match=r"pip install 'pixlab\[xrootd\]'"):
        read("root://127.0.0.1//store/a.root")
