"""SIGHUP: a new certificate and log level without a connection noticing."""

import http.client
import os
import pty
import re
import signal
import ssl
import subprocess
import time

import pytest
from conftest import PATIENCE, PRAX
from test_http import until


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", f"/CN={name}"],
                   cwd=folder, check=True, capture_output=True)


def connect(server):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=20)
    connection.connect()
    return connection


def certificate(connection):
    return ssl.DER_cert_to_PEM_cert(connection.sock.getpeercert(binary_form=True)).strip()


def answers(connection):
    connection.request("GET", "/v1/models")
    answer = connection.getresponse()
    return answer.read() and answer.status == 200


def lines(server, event):
    log = (server.data.parent / (server.data.name + ".log")).read_text()
    return [line for line in log.splitlines() if f" {event} " in line]


@pytest.fixture
def secure(tmp_path, serve):
    make_certificate(tmp_path, "first")
    (tmp_path / "config.toml").write_text(
        'tls_certificate = "cert.pem"\ntls_key = "key.pem"\nlog_level = "warning"\nmax_queued = 5\n')
    return serve(tmp_path / "data", "--no-keys", "--workers", "0", "--config", str(tmp_path / "config.toml"))


def test_a_new_certificate(secure, tmp_path):
    first = (tmp_path / "cert.pem").read_text().strip()
    before = connect(secure)
    assert answers(before) and certificate(before) == first
    # The level of the log comes along; a setting that cannot says so.
    config = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(config.replace("warning", "info").replace("= 5", "= 6"))
    make_certificate(tmp_path, "second")
    second = (tmp_path / "cert.pem").read_text().strip()
    assert second != first
    secure.process.send_signal(signal.SIGHUP)
    until(lambda: lines(secure, "reloaded"))
    until(lambda: lines(secure, "restart_needed"))
    after = connect(secure)
    assert answers(after) and certificate(after) == second
    assert answers(before), "a connection that was there goes on"
    until(lambda: lines(secure, "request"))
    began = time.monotonic()
    assert secure.stop() == 0
    assert time.monotonic() - began < 5 * PATIENCE, "connections that say nothing hold nothing up"


@pytest.mark.parametrize("breakage", ["text", "cut short", "another key", "gone", "config"])
def test_a_broken_certificate_is_refused(secure, tmp_path, breakage):
    first = (tmp_path / "cert.pem").read_text().strip()
    if breakage == "text":
        (tmp_path / "cert.pem").write_text("no certificate\n")
    elif breakage == "cut short":
        (tmp_path / "key.pem").write_text((tmp_path / "key.pem").read_text()[:60])
    elif breakage == "another key":
        key = (tmp_path / "key.pem").read_text()
        make_certificate(tmp_path, "second")
        (tmp_path / "key.pem").write_text(key)
    elif breakage == "gone":
        (tmp_path / "cert.pem").unlink()
    else:
        (tmp_path / "config.toml").write_text("tls_certificat = 1\n")
    secure.process.send_signal(signal.SIGHUP)
    until(lambda: lines(secure, "reload_refused"))
    time.sleep(0.3)
    refused = lines(secure, "reload_refused")
    assert len(refused) == 1 and re.search("cert.pem|key.pem|config.toml", refused[0]), refused
    assert not lines(secure, "reloaded")
    connection = connect(secure)
    assert answers(connection) and certificate(connection) == first
    assert secure.stop() == 0


def test_the_end_of_the_terminal_ends_the_server(tmp_path):
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests run under
        os.execv(PRAX, [PRAX, "serve", "--no-keys", "--workers", "0", "--port", "0", "--data", str(tmp_path / "data")])
    try:
        told = b""
        while b"listening on" not in told:
            told += os.read(terminal, 1000)
        os.kill(child, signal.SIGHUP)  # while the terminal is there it is a wish to reload
        while b" reloaded " not in told:
            told += os.read(terminal, 1000)
        os.close(terminal)
        end = time.monotonic() + 10
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
            time.sleep(0.05)
        assert ended == (child, 0)
        child = 0
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
