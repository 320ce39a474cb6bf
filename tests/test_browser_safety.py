"""The page's server, asked by hand for what no browser would: files of others, other names, other sites."""

import contextlib
import http.client
import json
import urllib.parse
import uuid

import pytest

from tests import browser

pytestmark = pytest.mark.browser
WISHES = ["violin", 1.0, 0, False, "quick"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with browser.serving(tmp_path_factory.mktemp("server"), "--allow_host=play.example") as server:
        server.wait_until_warm()
        yield server


class Client:
    """Sends what it likes, as one session."""

    def __init__(self, url):
        self.place, self.session = urllib.parse.urlsplit(url).netloc, uuid.uuid4().hex
        config = json.loads(self.ask("GET", "/config")[1])
        kinds = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        events = [event for event in config["dependencies"] if event["inputs"] and event["targets"]]
        self.events = {kinds.get(event["targets"][0][0]): event["id"] for event in events}

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.place, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}

    def upload(self, name, content):
        head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--b--\r\n"
        status, said, _ = self.ask("POST", "/gradio_api/upload", body, Content_Type="multipart/form-data; boundary=b")
        return json.loads(said)[0] if status == 200 else status

    def call(self, control, *data):
        """What an event gives back, or None."""
        asked = {"data": data, "fn_index": self.events[control], "session_hash": self.session}
        status, said, _ = self.ask("POST", "/gradio_api/run/predict", json.dumps(asked), Content_Type="application/json")
        return json.loads(said)["data"] if status == 200 else None


def file_at(path):
    return {"path": str(path), "orig_name": "x.mid", "meta": {"_type": "gradio.FileData"}}


def test_no_file_of_the_server_is_had(server, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    good = Client(server.url)
    music = browser.midi_of(69, 71)
    path = good.upload("good.mid", music)
    assert "2 notes" in str(good.call("pnet-upload", file_at(path), None, *WISHES))
    others = [str(found) for found in server.temporary.glob("pnet-page-*/scores/*/score.mid")]
    assert len(others) == 1
    for secret in ("/etc/passwd", "/dev/zero", "/proc/self/environ", str(tmp_path / "mine.txt"), *others):
        for control in ("pnet-upload", "pnet-example", "pnet-perform"):
            client = Client(server.url)
            data = [file_at(secret), None, *WISHES] if control != "pnet-perform" else [file_at(secret), *WISHES]
            said = str(client.call(control, *data))
            assert "notes" not in said and str(server.temporary) not in said
        assert good.ask("GET", f"/gradio_api/file={secret}")[0] == 404
    kept = [found for found in server.temporary.rglob("*") if found.is_file() and "uploads" in found.parts]
    assert {content for found in kept if (content := found.read_bytes())} == {music}


def test_no_event_goes_through_gradios_queue(server):
    """It lost a click in 25 that came right after a field was left: its stream of answers closed meanwhile."""
    client = Client(server.url)
    events = json.loads(client.ask("GET", "/config")[1])["dependencies"]
    assert len(events) > 5 and not [event["id"] for event in events if event["queue"] is not False]
    assert client.ask("POST", "/gradio_api/queue/join", "{}", Content_Type="application/json")[0] == 404


def test_other_names_and_other_sites_are_refused(server):
    client = Client(server.url)
    asked = {"data": ["Ode to joy flute", None, *WISHES], "fn_index": client.events["pnet-example"], "session_hash": "s"}
    join = ("POST", "/gradio_api/run/predict", json.dumps(asked))
    kind = {"Content_Type": "application/json"}
    assert client.ask("GET", "/", Host="evil.example")[0] == 421
    assert client.ask("GET", "/", Host="play.example")[0] == 200
    assert client.ask(*join, **kind, Origin="http://evil.example")[0] == 403
    assert client.ask(*join, **kind, Origin="http://evil.example", Host="evil.example")[0] == 421
    status, _, headers = client.ask(*join, **kind, Origin=server.url.rstrip("/"))
    assert status == 200 and not [name for name in headers if name.startswith("access-control")]
    asking = {"Origin": "http://evil.example", "Access_Control_Request_Method": "POST"}
    headers = client.ask("OPTIONS", "/gradio_api/run/predict", **asking)[2]
    assert not [name for name in headers if name.startswith("access-control")]
    assert client.ask("GET", "/openapi.json")[0] == client.ask("GET", "/docs")[0] == 404


def test_one_post_brings_one_file_of_the_size_allowed(server):
    client = Client(server.url)
    assert client.upload("x.mid", b"A" * 6_000_000) == 413
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="f.mid"\r\n\r\n' + b"A" * 4_900_000 + b"\r\n"
    kind = {"Content_Type": "multipart/form-data; boundary=b"}
    assert client.ask("POST", "/gradio_api/upload", part * 4 + b"--b--\r\n", **kind)[0] == 413
