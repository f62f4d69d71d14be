"""The vault and where its key comes from: nothing opens what was changed, moved or sealed with a lost key."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.adapters.secrets import EnvironmentSecrets, FileSecrets, GeneratedSecrets, find_secret
from common.adapters.vault import EnvelopeVault
from common.domain.errors import InvalidInput, NotFound, Permanent

OLD, NEW = "the-first-master-key-0123456789", "the-second-master-key-0123456789"
PLACE = "tenant-1|credential-1|binanceusdm"
SECRET = b"a key that moves money"


@given(st.binary(max_size=2000), st.text(max_size=80))
def test_what_is_sealed_opens_at_its_place_and_is_never_sealed_alike_twice(secret: bytes, place: str) -> None:
    vault = EnvelopeVault(OLD)
    first, second = vault.seal(secret, place), vault.seal(secret, place)
    assert vault.open(first, place) == vault.open(second, place) == secret
    assert first != second


def test_a_sealed_secret_shows_nothing_of_itself() -> None:
    vault = EnvelopeVault(OLD)
    assert SECRET not in vault.seal(SECRET, PLACE)
    assert OLD not in repr(vault)


def test_it_does_not_open_at_another_place() -> None:
    vault = EnvelopeVault(OLD)
    with pytest.raises(Permanent):
        vault.open(vault.seal(SECRET, PLACE), PLACE.replace("tenant-1", "tenant-2"))


def test_no_byte_can_be_changed_unnoticed() -> None:
    vault = EnvelopeVault(OLD)
    sealed = vault.seal(SECRET, PLACE)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(Permanent):
            vault.open(bytes(changed), PLACE)


@pytest.mark.parametrize("cut", [0, 3, 40, 100])
def test_a_part_of_a_secret_is_no_secret(cut: int) -> None:
    vault = EnvelopeVault(OLD)
    with pytest.raises(Permanent):
        vault.open(vault.seal(SECRET, PLACE)[:cut], PLACE)


def test_another_key_does_not_open_it_and_is_named_by_its_id() -> None:
    sealed = EnvelopeVault(OLD).seal(SECRET, PLACE)
    with pytest.raises(Permanent, match=EnvelopeVault(OLD).key_id):
        EnvelopeVault(NEW).open(sealed, PLACE)


def test_keys_rotate_by_wrapping_again_and_doing_it_twice_changes_nothing() -> None:
    sealed = EnvelopeVault(OLD).seal(SECRET, PLACE)
    both = EnvelopeVault(NEW, retired=[OLD])
    assert both.open(sealed, PLACE) == SECRET
    assert both.needs_rewrap(sealed)
    moved = both.rewrap(sealed, PLACE)
    assert not both.needs_rewrap(moved)
    assert both.rewrap(moved, PLACE) == moved
    assert EnvelopeVault(NEW).open(moved, PLACE) == SECRET
    with pytest.raises(Permanent):
        both.rewrap(sealed, "elsewhere")


@pytest.mark.parametrize(
    "text", ["changeme", "change-me-please-change-me", "short", "", "<master key>", "${MASTER_KEY}"]
)
def test_placeholders_and_short_texts_are_no_keys_and_are_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        EnvelopeVault(text)
    assert text == "" or text not in str(caught.value)


def test_sources_are_asked_in_order_and_the_absent_is_named(tmp_path: Path) -> None:
    (tmp_path / "halt_key").write_text("from-the-file-0123456789\n")
    sources = [
        FileSecrets(tmp_path),
        EnvironmentSecrets({"TRADEWINDS_HALT_KEY": "x" * 30, "TRADEWINDS_API_TOKEN": "y" * 30}),
    ]
    assert find_secret("halt_key", sources) == "from-the-file-0123456789"
    assert find_secret("api_token", sources) == "y" * 30
    with pytest.raises(NotFound, match="master_key"):
        find_secret("master_key", sources)


def test_a_placeholder_in_a_file_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "halt_key").write_text("changeme\n")
    with pytest.raises(InvalidInput):
        find_secret("halt_key", [FileSecrets(tmp_path), EnvironmentSecrets({"TRADEWINDS_HALT_KEY": "x" * 30})])


def test_a_secret_is_made_once_even_by_many_at_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: GeneratedSecrets(folder).get("master_key"), range(32)))
    assert len(made) == 1
    assert len(made.pop()) >= 43
    assert stat.S_IMODE((folder / "master_key").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["master_key"]


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    GeneratedSecrets(tmp_path).get("master_key")
    (tmp_path / "master_key").chmod(0o644)
    with pytest.raises(InvalidInput, match="0600"):
        GeneratedSecrets(tmp_path).get("master_key")
