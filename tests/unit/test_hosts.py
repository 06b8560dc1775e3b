"""``/etc/hosts`` as text."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driverapi import errors
from driverapi.services import hosts
from driverapi.services.hosts import BEGIN, END, HostsEntry

labels = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=20)
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
entries = st.lists(st.builds(HostsEntry, addresses, st.lists(names, min_size=1, max_size=3).map(tuple)), max_size=6)


def test_a_file_has_its_head_its_extra_hosts_and_its_block() -> None:
    text = hosts.build([HostsEntry("10.0.0.9", ("db",))], "10.77.0.2\tbox\n")
    assert text.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    assert text.endswith(f"10.0.0.9\tdb\n{BEGIN}10.77.0.2\tbox\n{END}")


def test_a_name_is_found_exactly_and_no_other_that_begins_like_it() -> None:
    text = "10.0.0.1\tweb2 web2.net\n10.0.0.2\tweb # web3\n10.0.0.3\tWEB\nnonsense web\n10.0.0.4\n#10.0.0.5 web\n"
    assert hosts.lookup(text, "web") == ["10.0.0.2", "10.0.0.3"]
    assert hosts.lookup(text, "web2") == ["10.0.0.1"]
    assert hosts.lookup(text, "web3") == hosts.lookup(text, "we") == []


def test_what_its_user_wrote_around_the_block_stays() -> None:
    before = hosts.build([], "10.77.0.2\tbox\n")
    edited = "# mine\n" + before.replace("127.0.0.1\tlocalhost\n", "") + "1.2.3.4\tmine\n\xe9 \udcff"
    renewed = hosts.renew(edited, "10.77.0.3\tother\n")
    assert renewed == edited.replace("10.77.0.2\tbox\n", "10.77.0.3\tother\n")


@pytest.mark.parametrize("gone", [BEGIN, END, BEGIN[:-2], END[:-2]])
def test_without_one_of_our_lines_it_is_the_users(gone: str) -> None:
    text = hosts.build([], "10.77.0.2\tbox\n").replace(gone, "x")
    assert hosts.renew(text, "10.77.0.3\tother\n") is None


def test_a_line_that_only_has_ours_in_it_is_not_ours() -> None:
    text = f"x{BEGIN}y\n{BEGIN[:-1]}x\n{END}"
    assert hosts.renew(text, "") is None
    assert hosts.renew(text + BEGIN + "old\n" + f"x{END}" + END, "new\n") == text + BEGIN + "new\n" + END


def test_the_last_line_needs_no_end() -> None:
    assert hosts.renew(f"{BEGIN}old\n{END[:-1]}", "new\n") == f"{BEGIN}new\n{END[:-1]}"
    assert hosts.renew(BEGIN[:-1], "new\n") is None


@given(entries, entries, entries, st.text("ab# \n\t", max_size=30), st.text("ab# \n\t", max_size=30))
def test_the_block_is_the_one_given_and_all_else_as_it_was(
    extra: list[HostsEntry], first: list[HostsEntry], second: list[HostsEntry], above: str, below: str
) -> None:
    text = hosts.build(extra, hosts.format_entries(first))
    assert hosts.parse(text) == [*hosts.LOCAL, *extra, *first]
    edited = f"{above}\n{text}{below}"
    renewed = hosts.renew(edited, hosts.format_entries(second))
    assert renewed is not None
    assert renewed == f"{above}\n{hosts.build(extra, hosts.format_entries(second))}{below}"
    assert hosts.renew(renewed, hosts.format_entries(first)) == edited


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    for entry in hosts.parse(text):
        assert entry.names
        assert not any("#" in name or name.split() != [name] for name in entry.names)
    renewed = hosts.renew(text, "block\n")
    assert renewed is None or f"{BEGIN}block\n" in renewed


@pytest.mark.parametrize("name", ["a", "a.b-c", "A_1", "x" * 63, ".".join(["x" * 49] * 5)])
def test_names_that_can_be(name: str) -> None:
    assert hosts.check_hostname(name, "hostname") == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a\nb", "a\n", "-a", "a-", "a..b", ".", "a.", "x" * 64, ".".join(["x" * 50] * 5), "é", "a#", 7]
)
def test_names_that_cannot(name: object) -> None:
    with pytest.raises(errors.InvalidError, match=r"hostname .* is no host name"):
        hosts.check_hostname(name, "hostname")
