"""``/etc/resolv.conf`` as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driverapi import errors
from driverapi.services import resolvconf
from driverapi.services.resolvconf import ResolvConf

HOST = """\
# a comment
; another
nameserver 127.0.0.53
nameserver 192.0.2.1
nameserver 2001:db8::1
nameserver fe80::1%eth0
nameserver none
nameserver
domain old.example
search a.example b.example
options edns0 trust-ad
options ndots:2
sortlist 10.0.0.0
"""


def test_it_is_read_as_a_resolver_does() -> None:
    servers = ("127.0.0.53", "192.0.2.1", "2001:db8::1", "fe80::1%eth0")
    assert resolvconf.parse(HOST) == ResolvConf(servers, ("a.example", "b.example"), ("edns0", "trust-ad", "ndots:2"))
    assert resolvconf.parse(HOST + "domain last.example x").search == ("last.example",)


@pytest.mark.parametrize(("ipv6", "left"), [(True, ("192.0.2.1", "2001:db8::1")), (False, ("192.0.2.1",))])
def test_what_a_sandbox_cannot_reach_is_left_out(ipv6: bool, left: tuple[str, ...]) -> None:
    assert resolvconf.filtered(resolvconf.parse(HOST), ipv6=ipv6).nameservers == left


def test_who_has_ipv6_alone_has_name_servers_of_it() -> None:
    conf = resolvconf.parse(HOST)
    assert resolvconf.filtered(conf, ipv6=True, ipv4=False).nameservers == ("2001:db8::1",)
    bare = ResolvConf(("192.0.2.1",))
    six = ("2001:4860:4860::8888", "2001:4860:4860::8844")
    assert resolvconf.filtered(bare, ipv6=True, ipv4=False).nameservers == six
    theirs = ["192.0.2.9"]
    assert resolvconf.filtered(bare, ipv6=True, ipv4=False, fallback=theirs).nameservers == ("192.0.2.9",)


@pytest.mark.parametrize("server", ["127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "fe80::1%lo"])
def test_loopback_in_every_form_is_left_out(server: str) -> None:
    conf = ResolvConf((server,), ("example",))
    assert resolvconf.filtered(conf, ipv6=True) == ResolvConf(("8.8.8.8", "8.8.4.4"), ("example",))
    assert resolvconf.filtered(conf, ipv6=True, fallback=()).nameservers == ()
    assert resolvconf.filtered(conf, ipv6=True, fallback=["192.0.2.9"]).nameservers == ("192.0.2.9",)


def test_what_its_user_edits_is_not_ours_any_more() -> None:
    text = resolvconf.build(ResolvConf(("192.0.2.1",), ("example",), ("ndots:2",)))
    assert text.startswith("nameserver 192.0.2.1\nsearch example\noptions ndots:2\n# driverapi: ")
    assert resolvconf.is_ours(text)
    for edited in (text + "nameserver 1.2.3.4\n", text.replace("192.0.2.1", "192.0.2.2"), text[1:], text[:-1], "", "#"):
        assert not resolvconf.is_ours(edited)


words = st.text("abcdefghij0123456789-.:", min_size=1, max_size=12)
confs = st.builds(
    ResolvConf,
    st.lists(st.ip_addresses().map(str), max_size=4).map(tuple),
    st.lists(words, max_size=3).map(tuple),
    st.lists(words, max_size=3).map(tuple),
)


@given(confs, st.integers(0), st.characters(codec="utf-8"))
def test_it_is_read_as_it_was_built_and_any_other_letter_is_seen(conf: ResolvConf, at: int, letter: str) -> None:
    text = resolvconf.build(conf)
    assert resolvconf.parse(text) == conf
    assert resolvconf.is_ours(text)
    at %= len(text)
    assert resolvconf.is_ours(text[:at] + letter + text[at + 1 :]) is (text[at] == letter)


@given(st.text(max_size=300))
def test_any_text_can_be_read_and_what_comes_of_it_is_plain(text: str) -> None:
    conf = resolvconf.parse(text)
    built = resolvconf.build(resolvconf.filtered(conf, ipv6=True, fallback=()))
    assert resolvconf.is_ours(built)
    assert resolvconf.parse(built).search == conf.search
    assert not resolvconf.is_ours(text)


@given(confs, st.booleans())
def test_filtering_twice_is_filtering_once(conf: ResolvConf, ipv6: bool) -> None:
    once = resolvconf.filtered(conf, ipv6=ipv6, fallback=())
    assert resolvconf.filtered(once, ipv6=ipv6, fallback=()) == once
    assert set(once.nameservers) <= set(conf.nameservers)


@pytest.mark.parametrize(
    ("check", "given_"),
    [
        (resolvconf.check_servers, ["192.0.2.1/24"]),
        (resolvconf.check_servers, ["a"]),
        (resolvconf.check_servers, "192.0.2.1"),
        (resolvconf.check_servers, 7),
        (resolvconf.check_search, ["a b"]),
        (resolvconf.check_search, ["a\nnameserver 1.2.3.4"]),
        (resolvconf.check_search, [".", "a"]),
        (resolvconf.check_search, "example"),
        (resolvconf.check_options, ["ndots 2"]),
        (resolvconf.check_options, ["a\nb"]),
        (resolvconf.check_options, [""]),
        (resolvconf.check_options, [2]),
    ],
)
def test_what_cannot_stand_in_the_file_is_refused(check: object, given_: object) -> None:
    assert callable(check)
    with pytest.raises(errors.InvalidError, match=r"^dns"):
        check(given_, "dns")


def test_what_can_stand_there() -> None:
    assert resolvconf.check_servers(["192.0.2.1", "2001:DB8::1"], "dns") == ("192.0.2.1", "2001:db8::1")
    assert resolvconf.check_search(["example.", "a.b"], "dns") == ("example.", "a.b")
    assert resolvconf.check_search(["."], "dns") == (".",)
    assert resolvconf.check_options(["ndots:2", "edns0"], "dns") == ("ndots:2", "edns0")
