"""The server behind the page: exact descent, one run a request, for its own page only."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

import lindyn as ld
from helpers.commands import lindyn
from lindyn.explorer.server import MOST_ENTRIES, descend, serve

SETTINGS = {
    "d_out": 30, "d_in": 20, "signal": [30.0, 20.0], "noise": 1.0, "variance": 1e-6, "width": 10**6, "eta": 1e-3,
    "steps": 60, "decay": 0.0,
}  # fmt: skip


@pytest.fixture
def server():
    running = serve()
    yield running
    running.shutdown()
    running.server_close()


def ask(server, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=300)
    text = body if isinstance(body, str) else json.dumps(body)
    connection.request("POST", "/descend", text, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    lines = answer.read().decode().splitlines()
    connection.close()
    return answer.status, lines


@pytest.mark.slow
def test_a_descent_in_chunks_is_the_descent_of_simulate():
    *progress, found = descend(SETTINGS)
    assert progress[-1] == {"done": 1.0}
    task = ld.SpikedMatrix(shape=(30, 20), singular_values=[30.0, 20.0], noise=1.0, key=0)
    net = ld.TwoLayer.gaussian((30, 20), 10**6, 1e-6, key=1)
    run = ld.simulate(net, task, ld.GradientDescent(learning_rate=1e-3, steps=60))
    rows = np.array(found["step"], dtype=int)
    assert rows[0] == 0
    assert rows[-1] == 60
    np.testing.assert_allclose(found["test_error"], run["test_error"][rows], rtol=1e-12)  # the same steps


@pytest.mark.slow
def test_two_requests_at_once_do_not_disturb_each_other(server):
    answers = {}

    def one(name, noise):
        answers[name] = ask(server, {**SETTINGS, "noise": noise})

    threads = [threading.Thread(target=one, args=(k, noise)) for k, noise in enumerate((0.5, 1.5))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, noise in enumerate((0.5, 1.5)):
        *_, alone = descend({**SETTINGS, "noise": noise})
        status, lines = answers[name]
        assert status == 200
        assert json.loads(lines[-1]) == alone


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}])
def test_other_origins_and_hosts_are_refused(server, headers):
    assert ask(server, SETTINGS, **headers)[0] == 403


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("{", "cannot be run"),
        ("[]", "must hold"),
        ({**SETTINGS, "steps": -1}, "`steps` must be at least 1"),
        ({**SETTINGS, "d_out": 10**6, "d_in": 10**6}, f"at most {MOST_ENTRIES:,} entries"),
        ({**SETTINGS, "eta": "much"}, "`eta` must be a number"),
        ({**SETTINGS, "extra": 1}, "must hold"),
    ],
)
def test_settings_that_cannot_be_run_are_refused_in_a_sentence(server, body, part):
    status, lines = ask(server, body)
    assert status == 200
    assert part in json.loads(lines[-1])["refused"]


@pytest.mark.slow
def test_a_closed_connection_stops_its_run(server):
    long = {**SETTINGS, "d_out": 300, "d_in": 300, "signal": [300.0], "steps": 5_000, "eta": 1e-5}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=300)
    connection.request("POST", "/descend", json.dumps(long), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.readline()  # the first chunk is done
    answer.close()
    connection.close()
    for _ in range(600):
        if server.cancelled:
            break
        threading.Event().wait(0.1)
    assert server.cancelled == 1


@pytest.mark.slow
def test_ctrl_c_ends_the_command_its_run_and_its_port():
    command = [sys.executable, "-u", "-m", "lindyn", "explore", "--serve", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        told = process.stdout.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", told)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        long = {**SETTINGS, "d_out": 200, "d_in": 200, "signal": [200.0], "steps": 20_000, "eta": 1e-5}
        connection.request("POST", "/descend", json.dumps(long), {"Content-Type": "application/json"})
        connection.getresponse()  # the run goes on
        process.send_signal(signal.SIGINT)
        rest, wrong = process.communicate(timeout=120)
        connection.close()
    finally:
        process.kill()
    assert (process.returncode, wrong) == (0, "")
    assert rest.strip() == "Stopped."
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def test_the_command_writes_one_file_and_refuses_to_replace_it(tmp_path):
    page = tmp_path / "page.html"
    assert lindyn("explore", "--out", page).returncode == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    again = lindyn("explore", "--out", page)
    assert again.returncode == 2
    assert "--out must be a file that does not exist yet" in again.stderr
    assert lindyn("explore", "--out", page, "--force").returncode == 0
    for wrong in (["--port", "80"], ["--out", page, "--serve"], ["--force"]):
        assert lindyn("explore", *wrong).returncode == 2
