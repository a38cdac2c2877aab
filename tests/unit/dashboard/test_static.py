"""What is vendored is what was published; nothing that a page loads comes from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.resources import files

import pytest

STATIC = files("seakeep.dashboard") / "static"
VENDORED = json.loads((STATIC / "vendor.json").read_text("utf-8"))


@pytest.mark.parametrize("entry", VENDORED, ids=lambda entry: entry["file"])
def test_a_vendored_file_has_the_digest_and_the_licence_that_were_written_down(entry):
    for file, digest in (("file", "sha256"), ("licence_file", "licence_sha256")):
        assert hashlib.sha256((STATIC / entry[file]).read_bytes()).hexdigest() == entry[digest]
    assert entry["licence"] in {"0BSD", "MIT"}
    assert entry["version"] in entry["source"] or entry["source"].startswith("npm package ")


def test_every_vendored_file_is_written_down():
    written = {entry["file"] for entry in VENDORED} | {entry["licence_file"] for entry in VENDORED}
    assert {f"vendor/{one.name}" for one in (STATIC / "vendor").iterdir()} == written


@pytest.mark.parametrize("name", ["dashboard.css", "dashboard.js"])
def test_our_own_files_name_no_address_and_evaluate_no_text(name):
    text = (STATIC / name).read_text("utf-8")
    assert not re.search(r"https?:|@import|url\(|\beval\b|new Function|innerHTML", text)


def test_templates_hold_no_script_style_or_handler_of_their_own():
    for template in (files("seakeep.dashboard") / "templates").iterdir():
        text = template.read_text("utf-8")
        assert not re.search(r"<script(?! src)|<style|\sstyle=|\son[a-z]+=|\|\s*safe", text), template.name
